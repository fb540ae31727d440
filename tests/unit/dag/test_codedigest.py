"""The digest changes with the code that runs and with nothing else."""

import pytest

from maskmill.dag.codedigest import imported_modules, library_digest


@pytest.fixture
def project(tmp_path):
    """A script that imports maskmill.a, which imports maskmill.sub.b; maskmill.c is not imported."""
    package = tmp_path / "maskmill"
    (package / "sub").mkdir(parents=True)
    (package / "__init__.py").write_text('"""P."""\n__version__ = "1"\n')
    (package / "sub/__init__.py").write_text("")
    (package / "a.py").write_text("from maskmill.sub.b import f\n\ndef g():\n    '''Doc.'''\n    return f() + 1\n")
    (package / "sub/b.py").write_text("def f():\n    return 1\n")
    (package / "c.py").write_text("x = 1\n")
    (tmp_path / "script.py").write_text("from maskmill import a\nprint(a.g())\n")
    (tmp_path / "lock.txt").write_text("numpy==1\n")
    return tmp_path


def digest(project):
    # the module caches what it has read, as it is used once a process
    from maskmill.dag import codedigest

    for function in vars(codedigest).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()
    return library_digest(project / "script.py", project, project / "lock.txt")


def test_imports_are_followed(project):
    found = {path.relative_to(project).as_posix() for path in imported_modules(project / "script.py", project)}

    assert found == {"maskmill/a.py", "maskmill/sub/__init__.py", "maskmill/sub/b.py"}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("maskmill/sub/b.py", "return 1", "return 2"),
        ("maskmill/a.py", "+ 1", "+ 2"),
        ("script.py", "print(a.g())", "print(a.g() * 2)"),
        ("lock.txt", "numpy==1", "numpy==2"),
    ],
)
def test_code_that_runs_changes_it(project, file, old, new):
    before = digest(project)
    path = project / file
    path.write_text(path.read_text().replace(old, new))

    assert digest(project) != before


def test_templates_count_where_a_module_loads_them(project):
    (project / "maskmill/templates").mkdir()
    template = project / "maskmill/templates/page.html.jinja"
    template.write_text("<p>{{ text }}</p>")
    (project / "maskmill/page.py").write_text("from jinja2 import PackageLoader\nloader = PackageLoader('maskmill')\n")
    without = digest(project)
    (project / "maskmill/a.py").write_text("from maskmill.sub.b import f\nimport maskmill.page\n")
    loading = digest(project)

    template.write_text("<b>{{ text }}</b>")
    edited = digest(project)
    (project / "maskmill/a.py").write_text("from maskmill.sub.b import f\n\ndef g():\n    return f() + 1\n")

    assert len({without, loading, edited}) == 3
    assert digest(project) == without


def test_an_editors_hidden_file_is_no_template(project):
    (project / "maskmill/templates").mkdir()
    (project / "maskmill/a.py").write_text("from jinja2 import PackageLoader\n")
    before = digest(project)
    (project / "maskmill/templates/.page.swp").write_bytes(b"\xff")

    assert digest(project) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("maskmill/a.py", "'''Doc.'''", "'''Better documentation.'''"),
        ("maskmill/a.py", "def g():", "# why\n\n\ndef g( ):"),
        ("maskmill/c.py", "x = 1", "x = 2"),
        ("maskmill/__init__.py", '"1"', '"2"'),
        ("lock.txt", "numpy==1", "# a comment\nnumpy==1  # why"),
    ],
)
def test_comments_docstrings_format_and_other_modules_do_not(project, file, old, new):
    before = digest(project)
    path = project / file
    path.write_text(path.read_text().replace(old, new))

    assert digest(project) == before


def test_it_is_the_same_under_every_python(project):
    # `ast.unparse` quotes this otherwise from 3.12 on, and 3.12.1 parses another piece into it
    code = """def f(x, *, width=3):\n    return f"{x or 'b'!r:>{width}}" f'"{x}"' "é"\n"""
    (project / "script.py").write_text(code, encoding="utf-8")

    assert digest(project) == "491c162be6310e9a"
