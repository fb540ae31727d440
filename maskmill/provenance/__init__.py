"""Where every artifact comes from: the record of a finished run, its check, its crate, its repetition."""
