"""Videos: reading and writing them; masks of their frames, where only tiles that changed are computed."""
