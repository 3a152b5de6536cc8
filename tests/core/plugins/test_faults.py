"""Whatever a plugin does while it is loaded, it is set aside with the reason and a healthy one runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rapua_scheduler.plugin_loader import LoadedPlugins, PluginReport, PluginState
from tests.core.plugins.packages import Packages, one_job

Load = Callable[..., LoadedPlugins]

HEADER = "from rapua_scheduler import Job, Site, every, hookimpl\n"


@pytest.fixture
def broken(packages: Packages, load: Load) -> Callable[..., PluginReport]:
    """Install a plugin with that source beside a healthy one, load both, and return what became of it."""

    def report(source: str, **more: object) -> PluginReport:
        packages.install("healthy", one_job("healthy-job"))
        packages.install("zz-broken", source, **more)  # type: ignore[arg-type]

        loaded = load()

        assert list(loaded.registry) == ["healthy-job"]
        assert [(each.name, each.state) for each in loaded.plugins] == [
            ("healthy", PluginState.LOADED),
            ("zz_broken", PluginState.FAILED),
        ]
        found = loaded.plugins[1]
        assert (found.distribution, found.version, found.jobs) == ("zz-broken", "1.0", ())
        assert "zz_broken" not in loaded.observers
        return found

    return report


Broken = Callable[..., PluginReport]


def hook(body: str, signature: str = "", marker: str = "@hookimpl") -> str:
    return f"{HEADER}\n{marker}\ndef register_jobs({signature}):\n    {body}\n"


JOB = 'Job(name="Some job", run=print, next=every(hours=1))'


# Import (faults 60, 61, 62, 71)


def test_a_plugin_that_cannot_be_imported_is_set_aside_with_the_place(broken: Broken) -> None:
    report = broken("\nimport no_such_module_anywhere\n")

    assert report.error == (
        "import: ModuleNotFoundError: No module named 'no_such_module_anywhere' (site-packages/zz_broken.py:2)"
    )


def test_a_plugin_with_a_syntax_error_is_set_aside(broken: Broken) -> None:
    assert broken("def (:\n").error == "import: SyntaxError: invalid syntax (zz_broken.py, line 1)"


@pytest.mark.parametrize("ending", ["SystemExit(3)", "GeneratorExit()", "BaseException('odd')", "MemoryError()"])
def test_a_plugin_that_ends_the_interpreter_at_import_ends_only_itself(broken: Broken, ending: str) -> None:
    assert broken(f"raise {ending}").error.startswith(f"import: {ending.partition('(')[0]}")


def test_a_plugin_that_calls_sys_exit_at_import_ends_only_itself(broken: Broken) -> None:
    assert broken("import sys; sys.exit(3)").error == "import: SystemExit: 3 (site-packages/zz_broken.py:1)"


def test_an_exception_whose_text_raises_is_reported_all_the_same(broken: Broken) -> None:
    report = broken("class Bad(Exception):\n    def __str__(self): raise SystemExit\nraise Bad\n")

    assert report.error.startswith("import: Bad: <its text cannot be shown>")


def test_a_recursion_without_end_is_reported(broken: Broken) -> None:
    assert "RecursionError" in broken("def f(): f()\nf()\n").error


def test_an_error_is_one_line_and_can_be_stored(broken: Broken) -> None:
    error = broken("raise ValueError('two\\nlines \\ud800 and \\0')").error

    assert error.splitlines() == [error]
    assert error.encode()
    assert "\0" not in error


def test_an_entry_point_to_a_missing_attribute_is_set_aside(broken: Broken) -> None:
    report = broken("", refers_to="zz_broken:plugin", plugin="zz_broken")

    assert report.error == "import: AttributeError: module 'zz_broken' has no attribute 'plugin'"


def test_an_entry_point_to_a_missing_module_is_set_aside(broken: Broken) -> None:
    assert "No module named 'elsewhere'" in broken("", refers_to="elsewhere", plugin="zz_broken").error


def test_an_entry_point_that_cannot_be_read_is_set_aside(broken: Broken) -> None:
    assert "Invalid object reference" in broken("", refers_to="not-a-module", plugin="zz_broken").error


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("None", "refers to None"),
        ("type('Plugin', (), {})", "refers to a class; let it name a module, or an instance"),
        ("len", "refers to a function; let it name the module that it is in"),
    ],
)
def test_an_entry_point_to_what_is_no_plugin_is_explained(broken: Broken, value: str, problem: str) -> None:
    report = broken(f"plugin = {value}\n", refers_to="zz_broken:plugin", plugin="zz_broken")

    assert report.error.startswith("import: the entry point")
    assert problem in report.error


# Hooks (faults 66, 67)


def test_a_misspelt_hook_is_set_aside_with_the_right_spelling(broken: Broken) -> None:
    report = broken(f"{HEADER}\n@hookimpl\ndef register_job():\n    return []\n")

    assert report.error == (
        "hooks: register_job is marked @hookimpl, but there is no such hook; did you mean 'register_jobs'?"
    )


def test_a_wrong_argument_is_set_aside_with_the_right_ones(broken: Broken) -> None:
    assert broken(hook("return []", "setings, site")).error == (
        "hooks: register_jobs takes 'setings'; it can take settings and site; did you mean 'settings'?"
    )


def test_an_argument_by_keyword_only_is_set_aside(broken: Broken) -> None:
    assert "takes 'settings' by keyword only" in broken(hook("return []", "*, settings")).error


@pytest.mark.parametrize("option", ["wrapper", "hookwrapper"])
@pytest.mark.parametrize("name", ["register_jobs()", "on_event(event)"])
def test_a_hook_wrapper_is_refused(broken: Broken, option: str, name: str) -> None:
    report = broken(f"{HEADER}\n@hookimpl({option}=True)\ndef {name}:\n    yield\n")

    assert "is a hook wrapper, which could change what others declare" in report.error


def test_a_wrapper_under_another_name_is_refused(broken: Broken) -> None:
    report = broken(f"{HEADER}\n@hookimpl(wrapper=True, specname='register_jobs')\ndef around():\n    yield\n")

    assert report.error.startswith("hooks: around is a hook wrapper")


def test_two_implementations_of_one_hook_are_refused(broken: Broken) -> None:
    second = "\n@hookimpl(specname='register_jobs')\ndef more():\n    return []\n"

    assert "both more and register_jobs implement register_jobs" in broken(hook("return []") + second).error


def test_an_async_hook_is_refused(broken: Broken) -> None:
    report = broken(f"{HEADER}\n@hookimpl\nasync def register_jobs():\n    return []\n")

    assert report.error.startswith("hooks: register_jobs is async")


def test_a_forgotten_marker_is_named(broken: Broken) -> None:
    assert broken(hook("return []", marker="")).error == (
        "hooks: register_jobs is not marked; write @hookimpl above it (from rapua_scheduler)"
    )


def test_a_forgotten_marker_is_named_beside_a_hook_that_has_one(broken: Broken) -> None:
    observer = "\n@hookimpl\ndef on_event(event):\n    pass\n"

    assert "register_jobs is not marked" in broken(hook("return []", marker="") + observer).error


def test_a_plugin_without_any_hook_is_told_which_there_are(broken: Broken) -> None:
    assert broken("").error == (
        "hooks: it implements none of on_event, register_jobs; write one, and @hookimpl above it"
    )


@pytest.mark.parametrize(
    "body",
    [
        "def __eq__(self, other): raise SystemExit",
        "__hash__ = None",
        "def __dir__(self): raise ValueError",
    ],
)
def test_a_hostile_plugin_object_harms_nobody_else(packages: Packages, load: Load, body: str) -> None:
    source = (
        f"{HEADER}\nclass Plugin:\n    {body}\n"
        f"    @hookimpl\n    def register_jobs(self): return [{JOB}]\nplugin = Plugin()\n"
    )
    packages.install("aa-hostile", source, refers_to="aa_hostile:plugin")
    packages.install("healthy", one_job("healthy-job"))
    packages.install("zz-hostile", source, refers_to="zz_hostile:plugin")

    loaded = load()

    assert "healthy" in [each.name for each in loaded.plugins if each.state is PluginState.LOADED]


# What register_jobs does (faults 63, 64)


@pytest.mark.parametrize("raised", ["ValueError('no')", "SystemExit(1)", "StopIteration()", "GeneratorExit()"])
def test_a_hook_that_raises_is_set_aside(broken: Broken, raised: str) -> None:
    report = broken(hook(f"raise {raised}"))

    assert report.error.startswith(f"register_jobs: {raised.partition('(')[0]}")
    assert report.error.endswith("(site-packages/zz_broken.py:5)")


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        ("None", "returned None; return a list of jobs"),
        ("'jobs'", "returned a str; return a list of jobs"),
        ("{'a': 1}", "returned a dict; return a list of jobs"),
        ("7", "returned an int; return a list of jobs"),
        (JOB, "returned a single job; return a list"),
        (f"[{JOB}, 'sweep']", "item 2 of what it returned is a str, not a Job"),
        ("[Job]", "item 1 of what it returned is a type, not a Job"),
        ("(print() for _ in [1])", "item 1 of what it returned is a NoneType, not a Job"),
    ],
)
def test_a_hook_that_returns_something_else_is_told_what_to_return(broken: Broken, returned: str, problem: str) -> None:
    assert broken(hook(f"return {returned}")).error == f"register_jobs: {problem}"


def test_a_generator_that_raises_in_the_middle_is_set_aside_whole(broken: Broken) -> None:
    assert broken(hook(f"yield {JOB}; raise ValueError('half way')")).error.startswith(
        "register_jobs: ValueError: half way"
    )


def test_a_generator_that_never_ends_is_cut_off(broken: Broken) -> None:
    source = hook(
        f"import itertools; job = {JOB}\n    for n in itertools.count(): "
        "yield Job(name=f'n{n}', run=print, next=job.next)"
    )

    assert broken(source).error == "register_jobs: declares more than 10000 jobs"


def test_a_coroutine_in_disguise_is_refused(broken: Broken) -> None:
    source = f"{HEADER}\nasync def jobs(): return []\n\n@hookimpl\ndef register_jobs(): return jobs()\n"

    assert broken(source).error == "register_jobs: returned a coroutine; return a list of jobs"


def test_an_invalid_job_is_reported_with_its_field(broken: Broken) -> None:
    report = broken(hook("return [Job(name='X', run=print, next=every(hours=1), key='Not A Key')]"))

    assert report.error.startswith("register_jobs: InvalidJobError: Job(key=…): 'Not A Key' must be")
    assert report.error.endswith("(site-packages/zz_broken.py:5)")


def test_two_jobs_under_one_key_are_refused(broken: Broken) -> None:
    assert "declares two jobs with the key 'some-job'" in broken(hook(f"return [{JOB}, {JOB}]")).error


# Requirements (faults 68, 69)


def test_a_missing_requirement_is_named_before_the_import(packages: Packages, broken: Broken) -> None:
    marker = packages.folder / "imported"

    report = broken(f"open({str(marker)!r}, 'w').close()", requires=["no-such-package>=2; python_version>'3'"])

    assert report.error == (
        "requirements: it requires no-such-package>=2, which is not installed; pip install 'no-such-package>=2'"
    )
    assert not marker.exists()


def test_a_requirement_in_the_wrong_version_is_named_with_both(packages: Packages, broken: Broken) -> None:
    packages.describe("some-library", version="1.4")

    report = broken("", requires=["some_library >=2,<3"])

    assert report.error == (
        "requirements: it requires some_library<3,>=2, and some_library 1.4 is installed; upgrade one of them"
    )


def test_all_missing_requirements_are_named(broken: Broken) -> None:
    error = broken("", requires=["no-such-package", "neither-this"]).error

    assert "no-such-package" in error
    assert "neither-this" in error


def test_the_extras_of_an_entry_point_count(broken: Broken) -> None:
    requires = ["no-such-package; extra == 'mail'"]

    report = broken(one_job("x"), requires=requires, refers_to="zz_broken [mail]", plugin="zz_broken")

    assert "it requires no-such-package" in report.error


def test_a_requirement_of_another_machine_or_extra_does_not_count(packages: Packages, load: Load) -> None:
    requires = ["no-such-package; extra == 'mail'", "neither-this; python_version < '3'"]
    packages.install("healthy", one_job("healthy-job"), requires=requires)

    assert list(load().registry) == ["healthy-job"]


def test_a_requirement_that_cannot_be_read_is_shown(broken: Broken) -> None:
    assert "requires 'not a requirement'" in broken("", requires=["not a requirement"]).error


# What else a plugin may do


def test_what_a_plugin_prints_does_not_reach_standard_output(
    packages: Packages, load: Load, capsys: pytest.CaptureFixture[str]
) -> None:
    packages.install("loud", f"print('at import')\n{hook(f'print(1234); return [{JOB}]')}")

    loaded = load()

    said = capsys.readouterr()
    assert list(loaded.registry) == ["some-job"]
    assert said.out == ""
    assert "at import" in said.err
    assert "1234" in said.err


def test_control_c_at_import_is_not_taken_for_a_broken_plugin(packages: Packages, load: Load) -> None:
    packages.install("interrupted", "raise KeyboardInterrupt")

    with pytest.raises(KeyboardInterrupt):
        load()
