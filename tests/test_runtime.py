import os
import sys
import types

import psutil
import pytest

from cnnkit import runtime
from cnnkit.errors import CnnkitError, UsageError


@pytest.fixture
def no_keras(monkeypatch):
    """As in a fresh process: Keras is not imported yet, and no variable is set."""
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        # Set first, so that what `configure` sets is undone after the test.
        monkeypatch.setenv(name, "")
    for name in ("TF_CPP_MIN_LOG_LEVEL", "GRPC_VERBOSITY", "TF_ENABLE_ONEDNN_OPTS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def importing(action, first_tensor=lambda size: None):
    """A stand-in for `import_module` that does something and returns a Keras of one function."""

    def import_module(name):
        action()
        return types.SimpleNamespace(ops=types.SimpleNamespace(zeros=first_tensor))

    return import_module


def test_threads_are_bounded_for_every_backend(no_keras, monkeypatch):
    monkeypatch.setattr(runtime.importlib, "import_module", importing(lambda: None))
    runtime.configure(threads=3)
    assert os.environ["OMP_NUM_THREADS"] == os.environ["TF_NUM_INTRAOP_THREADS"] == "3"


def test_threads_are_those_that_the_environment_allows(monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1000")
    assert runtime.thread_count() == 1000


@pytest.mark.parametrize(("said", "expected"), [(None, "1"), ("0", "0")])
def test_onednn_computes_unless_the_environment_says_otherwise(
    no_keras, monkeypatch, said, expected
):
    monkeypatch.setattr(runtime.importlib, "import_module", importing(lambda: None))
    if said is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", said)
    runtime.configure()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == expected


@pytest.mark.parametrize("bound", ["", "many", "0"])
def test_threads_are_the_cores_when_nothing_bounds_them(monkeypatch, bound):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", bound)
    assert 1 <= runtime.thread_count() <= os.cpu_count()


def test_fewer_than_one_thread_is_refused():
    with pytest.raises(UsageError, match="--threads must be at least 1, not 0"):
        runtime.configure(threads=0)


@pytest.mark.parametrize(("verbose", "shown"), [(False, ""), (True, "chatter")])
def test_chatter_of_the_import_is_shown_only_when_asked(
    no_keras, monkeypatch, capfd, verbose, shown
):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    # Straight to the descriptor, as C++ code writes.
    chatter = importing(lambda: os.write(2, b"chatter"))
    monkeypatch.setattr(runtime.importlib, "import_module", chatter)
    runtime.configure(verbose=verbose)
    os.write(2, b"after")
    assert capfd.readouterr().err == f"{shown}after"


def test_chatter_of_the_first_tensor_is_held_back_too(no_keras, monkeypatch, capfd):
    def look_for_a_graphics_card(size):
        os.write(2, b"failed call to cuInit")

    loader = importing(lambda: None, look_for_a_graphics_card)
    monkeypatch.setattr(runtime.importlib, "import_module", loader)
    runtime.configure()
    assert capfd.readouterr().err == ""


def test_chatter_is_shown_when_the_import_fails(no_keras, monkeypatch, capfd):
    def fail():
        os.write(2, b"what went wrong")
        raise RuntimeError("broken library")

    monkeypatch.setattr(runtime.importlib, "import_module", importing(fail))
    with pytest.raises(RuntimeError, match="broken library"):
        runtime.configure()
    assert capfd.readouterr().err == "what went wrong"


def test_a_backend_that_cannot_be_imported_is_one_line(no_keras, monkeypatch):
    def fail():
        raise ImportError("No module named 'torch'")

    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr(runtime.importlib, "import_module", importing(fail))
    with pytest.raises(CnnkitError, match=r"cannot use the backend .torch. .* or unset"):
        runtime.configure()


def test_a_broken_keras_without_a_chosen_backend_shows_its_own_error(no_keras, monkeypatch):
    def fail():
        raise ImportError("libgomp.so.1")

    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(runtime.importlib, "import_module", importing(fail))
    with pytest.raises(ImportError, match=r"libgomp.so.1"):
        runtime.configure()


def test_the_cpu_alone_is_used_where_it_is_asked_for(no_keras, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    monkeypatch.setattr(runtime.importlib, "import_module", importing(lambda: None))
    runtime.configure(device="cpu")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "-1"
    assert os.environ["JAX_PLATFORMS"] == "cpu"


def test_a_gpu_that_is_not_there_is_one_line(monkeypatch):
    distribution = types.SimpleNamespace(list_devices=lambda: ["cpu:0"])
    monkeypatch.setitem(sys.modules, "keras", types.SimpleNamespace(distribution=distribution))
    with pytest.raises(UsageError, match="the backend sees no GPU here; use --device cpu"):
        runtime.configure(device="gpu")


def test_the_device_of_a_backend_that_lists_none_is_that_of_its_tensors(monkeypatch):
    ops = types.SimpleNamespace(zeros=lambda size: types.SimpleNamespace(device="cuda:0"))
    keras = types.SimpleNamespace(distribution=types.SimpleNamespace(), ops=ops)
    monkeypatch.setitem(sys.modules, "keras", keras)
    assert runtime.devices() == ("cuda:0",)


def test_a_gpu_next_to_the_cpu_serves(monkeypatch):
    distribution = types.SimpleNamespace(list_devices=lambda: ["cpu:0", "gpu:0"])
    monkeypatch.setitem(sys.modules, "keras", types.SimpleNamespace(distribution=distribution))
    runtime.configure(device="gpu")


def test_an_unknown_device_is_refused():
    with pytest.raises(UsageError, match="--device must be one of auto, cpu, gpu, not 'tpu'"):
        runtime.configure(device="tpu")


def test_several_processes_are_found_from_what_is_typed_and_from_variables():
    assert runtime.find_cluster("a:1", 3, 2, {}) == runtime.Cluster("a:1", 3, 2)
    ours = {"CNNKIT_COORDINATOR": "b:2", "CNNKIT_PROCESSES": "4", "CNNKIT_PROCESS_ID": "0"}
    assert runtime.find_cluster(environment=ours) == runtime.Cluster("b:2", 4, 0)
    assert runtime.find_cluster(process_id=3, environment=ours) == runtime.Cluster("b:2", 4, 3)
    of_keras = {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1:1234,10.0.0.2:2345",
        "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
        "KERAS_DISTRIBUTION_PROCESS_ID": "1",
    }
    assert runtime.find_cluster(environment=of_keras) == runtime.Cluster("10.0.0.1:1234", 2, 1)
    of_kubernetes = {**ours, "JOB_COMPLETION_INDEX": "1"}
    del of_kubernetes["CNNKIT_PROCESS_ID"]
    assert runtime.find_cluster(environment=of_kubernetes) == runtime.Cluster("b:2", 4, 1)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("node7", "node7"),
        ("node7,node9", "node7"),
        ("node[07-12,15],other", "node07"),
        ("gpu[3,5]-ib", "gpu3-ib"),
    ],
)
def test_a_step_of_slurm_is_a_cluster(nodes, first):
    step = {
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NODELIST": nodes,
        "SLURM_PROCID": "1",
        "SLURM_JOB_ID": "5000",
    }
    # 61440 + 5000 mod 4096 = 61440 + 904
    assert runtime.find_cluster(environment=step) == runtime.Cluster(f"{first}:62344", 2, 1)
    assert runtime.find_cluster(processes=1, environment=step) is None
    assert runtime.find_cluster("a:1", environment=step) == runtime.Cluster("a:1", 2, 1)


def test_one_process_is_no_cluster():
    # A batch script of Slurm outside of srun, and an indexed job of Kubernetes.
    assert runtime.find_cluster(environment={"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}) is None
    assert runtime.find_cluster(environment={"JOB_COMPLETION_INDEX": "3"}) is None
    assert runtime.find_cluster(environment={"CNNKIT_PROCESSES": "1"}) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a:1", 2, None), "need --process-id or CNNKIT_PROCESS_ID too"),
        ((None, 2, 0), "need --coordinator or CNNKIT_COORDINATOR too"),
        (("a:1", 2, 2), "must be from 0 to 1, not 2"),
        (("a", 2, 1), "must be HOST:PORT, not 'a'"),
        (("a:1", "two", 1), "the number of a process is none"),
    ],
)
def test_half_a_cluster_is_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        runtime.find_cluster(*arguments, environment={})


def test_several_processes_on_another_backend_than_jax_are_refused(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    with pytest.raises(UsageError, match="set KERAS_BACKEND=jax in all of them"):
        runtime.configure(cluster=runtime.Cluster("a:1", 2, 0))


# Memory --------------------------------------------------------------------------------------


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Writes files of a group of processes on a machine with 1,000 bytes, of which 900 are free."""
    machine = types.SimpleNamespace(total=1000, available=900)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: machine)

    def write(folder, **files):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (tmp_path / folder / name.replace("__", ".")).write_text(f"{text}\n")
        return tmp_path

    return write


def test_without_limits_memory_is_that_of_the_machine(groups):
    root = groups(".", memory__max="max", memory__current=10)
    groups("memory", **{"memory__limit_in_bytes": 2**63 - 4096, "memory__usage_in_bytes": 10})
    assert runtime.measure_memory(root, root / "none") == runtime.Memory(1000, 900)


def test_a_container_has_the_memory_of_its_limit(groups):
    # 500 - 200, and 50 of these can be had back.
    stat = "anon 150\ninactive_file 50\nactive_file 7"
    root = groups(".", memory__max=500, memory__current=200, memory__stat=stat)
    assert runtime.measure_memory(root, root / "none") == runtime.Memory(500, 350)


@pytest.mark.parametrize(
    ("line", "folder"), [("0::/user/job", "user/job"), ("4:cpu,memory:/job", "memory/job")]
)
def test_a_job_has_the_memory_of_its_own_group(groups, line, folder):
    files = {"memory__max": 300, "memory__current": 100}
    if "memory" in folder:
        files = {"memory__limit_in_bytes": 300, "memory__usage_in_bytes": 100}
    root = groups(folder, **files)
    (root / "own").write_text(f"7:cpuset:/other\n{line}\n")
    assert runtime.measure_memory(root, root / "own") == runtime.Memory(300, 200)


def test_a_full_container_has_nothing_left(groups):
    root = groups(".", memory__max=100, memory__current=120)
    assert runtime.measure_memory(root, root / "none") == runtime.Memory(100, 0)


@pytest.mark.parametrize(
    ("named", "settings", "expected"),
    [
        ("jax", '{"backend": "torch"}', "jax"),
        (None, '{"backend": "torch"}', "torch"),
        (None, "damaged", "tensorflow"),
        (None, "[]", "tensorflow"),
        (None, None, "tensorflow"),
    ],
)
def test_the_backend_is_that_of_the_variable_or_of_keras_settings(
    monkeypatch, tmp_path, named, settings, expected
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", named or "")
    if settings is not None:
        (tmp_path / "keras.json").write_text(settings)
    assert runtime._chosen_backend() == expected
