from maskmill.dag.nodes import lonely_words


def test_a_machine_alone_is_told_what_several_nodes_need(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert lonely_words(1) is None
    assert lonely_words(3).startswith("train.nodes is 3, but this run starts its jobs on this machine alone.")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert lonely_words(3) is None
