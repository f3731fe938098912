"""`Images` with archives: what is imported, shared, run, checked, evicted and removed."""
import os
import threading
import time

import grpc
from agent import IMAGE, STATE, Agent
from oci import Layout, base_layer, device, link, saved, tar
from support import api, eventually, refused, run_parts

Code = grpc.StatusCode
images = api.images
BASE = base_layer()
STORED = images.IMAGE_KIND_STORED


def request(name, path, **fields):
    return images.ImportRequest(name=name, archive=path, **fields)


def imported(agent, name, path, **fields):
    """The result of an import, and its progress."""
    answers = list(agent.calls.images.Import(request(name, path, **fields), timeout=300))
    assert answers[-1].WhichOneof("kind") == "result", answers
    progress = [each.progress for each in answers[:-1]]
    assert all(each.WhichOneof("kind") == "progress" for each in answers[:-1])
    return answers[-1].result, progress


def listed(agent, name=""):
    return agent.calls.images.List(images.ListImagesRequest(name=name), timeout=60)


def names(agent):
    return [name for image in listed(agent).images for name in image.names]


def remove(agent, name):
    return agent.calls.images.Remove(images.RemoveRequest(name=name), timeout=60)


def checked(agent, **fields):
    answers = list(agent.calls.images.Check(images.CheckRequest(**fields), timeout=300))
    assert all(each.WhichOneof("kind") == "progress" for each in answers[:-1])
    return answers[-1].result


def said(agent, sandbox_id, *command, image, **fields):
    """What a sandbox wrote that ran to a good end, and is removed."""
    agent.calls.sandboxes.Create(api.sandboxes.CreateRequest(
        id=sandbox_id, spec=api.types.SandboxSpec(image=image, command=command, **fields)),
        timeout=60)
    agent.begin(sandbox_id)
    outcome = agent.wait(sandbox_id).outcome
    text = agent.output(sandbox_id).decode()
    assert outcome.exit_code == 0, (outcome, text)
    agent.delete(sandbox_id)
    return text


def store_files(agent, folder):
    return sorted(os.listdir(f"{agent.state}/images/{folder}"))


def layout(agent, name="layout"):
    return Layout(f"{agent.folder}/{name}")


# ---- What is there ----

def shared(agent):
    """Two images that share a layer have it once, and both know."""
    source = layout(agent)
    first = source.add([BASE, tar([("one", b"1" * 5000)])], "first")
    second = source.add([BASE, tar([("two", b"2" * 5000)])], "second")
    path = source.archive(f"{agent.folder}/both.tar")
    refused(Code.INVALID_ARGUMENT, agent.calls.images.Import, request("x", path))
    begun = time.time_ns()
    one, progress = imported(agent, "app:1", path, reference="first")
    assert not one.existed and one.layers_made == 2 and one.layers_present == 0, one
    assert one.image.digest == first and list(one.image.names) == ["app:1"], one
    assert one.image.kind == STORED and one.image.shared_bytes == 0 and not one.image.directory
    assert begun <= one.image.imported_at_nanoseconds <= time.time_ns()
    assert progress and progress[-1].layers_done == progress[-1].layers == 2, progress
    assert progress[-1].bytes_done >= progress[-1].bytes > 0, progress
    counts = [each.bytes_done for each in progress]
    assert counts == sorted(counts)
    # A directory will do as well as an archive.
    two, progress = imported(agent, "", source.folder, reference="second")
    assert two.layers_made == 1 and two.layers_present == 1, two
    assert two.image.digest == second and list(two.image.names) == ["second"]
    assert progress[-1].layers_present == 1
    again, _ = imported(agent, "other", path, reference="first")
    assert again.existed and list(again.image.names) == ["app:1", "other"], again
    answer = listed(agent)
    assert [each.name for each in answer.images] == ["app:1", "second"], answer
    common = answer.images[0].layers[0]
    assert all(each.layers[0] == common for each in answer.images)
    assert all(each.shared_bytes == common.bytes for each in answer.images), answer
    assert all(each.bytes == sum(layer.bytes for layer in each.layers)
               for each in answer.images)
    assert answer.store.images == 2 and answer.store.layers == 3, answer.store
    assert answer.store.bytes == sum(each.bytes for each in answer.images) - common.bytes
    assert answer.store.capacity_bytes == 0
    assert list(agent.capacity().images) == ["app:1", "other", "second"]
    # By a digest, too, and the beginning of one.
    for name in (first, first[7:], first[7:19]):
        assert listed(agent, name).images[0].digest == first
    refused(Code.NOT_FOUND, agent.calls.images.List, images.ListImagesRequest(name="none"))
    assert len(remove(agent, "other").digests) == 0
    gone = remove(agent, "app:1")
    assert list(gone.digests) == [first] and len(gone.layers) == 1 and gone.bytes > 0, gone
    assert names(agent) == ["second"]
    assert remove(agent, second[7:]).bytes > 0
    assert not listed(agent).images and not store_files(agent, "layers")


def named(agent):
    """A name belongs to an image or to a directory."""
    source = layout(agent)
    one = source.add([BASE], "one")
    two = source.add([tar([("file", b"x")])], "two")
    list(agent.calls.images.Import(images.ImportRequest(name="tree", directory=IMAGE), timeout=60))
    refused(Code.ALREADY_EXISTS, agent.calls.images.Import,
            request("tree", source.folder, reference="one"), "already_exists")
    imported(agent, "name", source.folder, reference="one")
    refused(Code.ALREADY_EXISTS, agent.calls.images.Import,
            images.ImportRequest(name="name", directory=IMAGE), "already_exists")
    # It goes over to another image, as tags do.
    result, _ = imported(agent, "name", source.folder, reference=two)
    assert result.image.digest == two and list(result.image.names) == ["name"]
    bare, = [each for each in listed(agent).images if each.digest == one]
    assert not bare.names and not bare.name
    assert [each.name for each in listed(agent).images] == ["name", "tree", ""]
    assert list(agent.capacity().images) == ["name", "tree"]
    dry = agent.calls.images.Prune(images.PruneRequest(dry_run=True), timeout=60)
    assert list(dry.removed) == [one] and dry.bytes > 0 and len(listed(agent).images) == 3
    assert agent.calls.images.Prune(images.PruneRequest(), timeout=60) == dry
    pinned = agent.calls.images.Pin(images.PinRequest(name="name", pinned=True), timeout=60)
    assert pinned.image.pinned and listed(agent, "name").images[0].pinned
    refused(Code.FAILED_PRECONDITION, agent.calls.images.Pin,
            images.PinRequest(name="tree", pinned=True))
    refused(Code.NOT_FOUND, agent.calls.images.Pin, images.PinRequest(name="x", pinned=True))
    refused(Code.FAILED_PRECONDITION, agent.calls.images.Remove,
            images.RemoveRequest(name="name"), "in_use")
    pruned = agent.calls.images.Prune(images.PruneRequest(named=True), timeout=60)
    assert list(pruned.removed) == ["tree"] and names(agent) == ["name"]
    agent.calls.images.Pin(images.PinRequest(name="name"), timeout=60)
    pruned = agent.calls.images.Prune(images.PruneRequest(named=True), timeout=60)
    assert list(pruned.removed) == ["name"] and not listed(agent).images
    for name in ("-a", "A", "a" * 129, "a b", "ä", "/a"):
        refused(Code.INVALID_ARGUMENT, agent.calls.images.Import, request(name, source.folder))
    for path in ("", "relative", "/a\0b"):
        refused(Code.INVALID_ARGUMENT, agent.calls.images.Import, request("x", path))
    refused(Code.INVALID_ARGUMENT, agent.calls.images.Import,
            request("x", source.folder, platform="linux"))
    refused(Code.FAILED_PRECONDITION, agent.calls.images.Import, request("x", "/no/such"),
            "image_missing")
    fifo = f"{agent.folder}/fifo"
    os.mkfifo(fifo)
    for path in (fifo, "/dev/zero"):
        refused(Code.INVALID_ARGUMENT, agent.calls.images.Import, request("x", path))


# ---- What is run ----

SHOW = ["-c", "echo $0 $@; pwd; id -u; id -g; echo $A $B $HOME", "own", "words"]


def config(agent):
    """An image says how it is run, and a specification what is to be otherwise."""
    people = tar([("etc/passwd", b"root:x:0:0::/:/bin/sh\napp:x:12:34::/:/bin/sh\n"),
                  ("work", None), ("place", None)])
    path = f"{agent.folder}/saved.tar"
    own = saved(path, [BASE, people], "registry.example/app:2", Entrypoint=["/bin/sh"], Cmd=SHOW,
                Env=["A=image", "B=image", "HOME=/work"], WorkingDir="/work", User="app",
                StopSignal="SIGUSR1", Labels={"k": "v"})
    result, _ = imported(agent, "", path)
    image = result.image
    assert image.name == "registry.example/app:2" and image.digest == own
    assert image.config == images.ImageConfig(
        entrypoint=["/bin/sh"], command=SHOW, environment=["A=image", "B=image", "HOME=/work"],
        working_directory="/work", user="app", stop_signal="SIGUSR1", labels={"k": "v"})
    assert image.platform.startswith("linux/") and not image.manifest_digest
    name = image.name
    assert said(agent, "a", image=name) == "own words\n/work\n12\n34\nimage image /work\n"
    assert said(agent, "b", *SHOW[:2], "other", image=own, environment=["B=spec"], user="0:0",
                working_directory="/place") == "other\n/place\n0\n0\nimage spec /work\n"
    assert said(agent, "c", "x", "y", image=name, entrypoint=["/bin/echo", "z"]) == "z x y\n"
    assert said(agent, "d", "/bin/echo", "bare", image=name, entrypoint=[""]) == "bare\n"
    agent.create("told", image=name, command=[])
    told = agent.get("told").resolved
    assert told == api.types.ResolvedSpec(
        image=own, command=["/bin/sh", *SHOW], working_directory="/work", user="12:34",
        stop_signal="SIGUSR1"), told
    assert agent.get("told").spec.image == name and not agent.get("told").spec.command
    agent.delete("told")
    refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Create, api.sandboxes.CreateRequest(
        id="e", spec=api.types.SandboxSpec(image=name, user="nobody-of-it")), "user_missing")
    refused(Code.INVALID_ARGUMENT, agent.calls.sandboxes.Create, api.sandboxes.CreateRequest(
        id="e", spec=api.types.SandboxSpec(image=name, entrypoint=[""])))
    # The signal that it names asks it to stop.
    agent.create("f", image=name, entrypoint=["/bin/sh"], command=[
        "-c", "trap 'exit 7' USR1; echo up; while :; do sleep 0.05; done"])
    agent.begin("f")
    eventually(lambda: agent.output("f") == b"up\n")
    assert agent.stop("f", grace=60.0).outcome.exit_code == 7
    agent.delete("f")
    # One without any says nothing, and needs to be told.
    plain = layout(agent)
    plain.add([BASE])
    imported(agent, "plain", plain.folder)
    refused(Code.INVALID_ARGUMENT, agent.calls.sandboxes.Create, api.sandboxes.CreateRequest(
        id="g", spec=api.types.SandboxSpec(image="plain")))
    assert said(agent, "g", "pwd", image="plain") == "/\n"
    agent.create("directory")
    assert not agent.get("directory").HasField("resolved")
    agent.delete("directory")


def layers(agent):
    """Libraries of their own stand above an image, the last one topmost."""
    source = layout(agent)
    source.add([BASE, tar([("lib/which", b"base")])], "base")
    source.add([tar([("lib/which", b"one"), ("lib/one", b"1")])], "one")
    source.add([tar([("lib/which", b"two"), ("lib/two", b"2")])], "two")
    for name in ("base", "one", "two"):
        imported(agent, f"{name}:1", source.folder, reference=name)
    read = ("sh", "-c", "cat /lib/which; ls /lib")
    assert said(agent, "a", *read, image="base:1").startswith("base")
    both = said(agent, "b", *read, image="base:1", layers=["one:1", "two:1"])
    assert both == "twoone\ntwo\nwhich\n", both
    digest = listed(agent, "one:1").images[0].digest
    single = listed(agent, "two:1").images[0].layers[0].digest
    assert said(agent, "s", *read, image="base:1", layers=[single]).startswith("two")
    assert said(agent, "c", *read, image="base:1", layers=["two:1", digest]).startswith("one")
    agent.create("d", *read, image="base:1", layers=["one:1"])
    assert list(agent.get("d").resolved.layers) == [digest]
    assert list(listed(agent, "one:1").images[0].users) == ["d"]
    refused(Code.FAILED_PRECONDITION, agent.calls.images.Remove,
            images.RemoveRequest(name="one:1"), "in_use")
    # A newer one is for new sandboxes; those that are there keep theirs.
    newer = Layout(f"{agent.folder}/newer")
    newer.add([tar([("lib/which", b"newer")])])
    imported(agent, "one:1", newer.folder)
    agent.begin("d")
    assert agent.wait("d").outcome.exit_code == 0 and agent.output("d").startswith(b"one")
    agent.delete("d")
    assert said(agent, "e", *read, image="base:1", layers=["one:1"]).startswith("newer")
    for image, above, code in (
            ("base:1", "none", Code.FAILED_PRECONDITION), (IMAGE, "one:1", Code.INVALID_ARGUMENT)):
        refused(code, agent.calls.sandboxes.Create, api.sandboxes.CreateRequest(
            id="f", spec=api.types.SandboxSpec(image=image, command=["true"], layers=[above])))


def used(agent):
    """What a sandbox is made of is not removed, over restarts and kills too."""
    source = layout(agent)
    own = source.add([BASE])
    imported(agent, "app", source.folder)
    before = listed(agent, "app").images[0].last_used_at_nanoseconds
    agent.run("up", image="app")
    agent.create("made", "echo", "late", image="app")
    assert store_files(agent, "holds") == [f"agent.{own[7:]}"]
    for restart in (lambda: None, agent.restart, lambda: (agent.kill(), agent.start())):
        restart()
        image = listed(agent, "app").images[0]
        assert image.sandboxes == 2 and list(image.users) == ["made", "up"], image
        refused(Code.FAILED_PRECONDITION, agent.calls.images.Remove,
                images.RemoveRequest(name="app"), "in_use")
        refused(Code.FAILED_PRECONDITION, agent.calls.images.Remove,
                images.RemoveRequest(name=own), "in_use")
        assert not agent.calls.images.Prune(images.PruneRequest(named=True), timeout=60).removed
        assert agent.get("up").state == STATE.Value("SANDBOX_STATE_RUNNING")
    # Mounted again, by the agent that comes after.
    agent.begin("made")
    assert agent.wait("made").outcome.exit_code == 0 and agent.output("made") == b"late\n"
    assert said(agent, "new", "pwd", image="app") == "/\n"
    agent.delete("made")
    agent.stop("up")
    # A stopped one still counts.
    refused(Code.FAILED_PRECONDITION, agent.calls.images.Remove,
            images.RemoveRequest(name="app"), "in_use")
    agent.delete("up")
    eventually(lambda: listed(agent, "app").images[0].last_used_at_nanoseconds > before)
    assert list(remove(agent, "app").digests) == [own] and not store_files(agent, "holds")
    refused(Code.FAILED_PRECONDITION, agent.calls.sandboxes.Create, api.sandboxes.CreateRequest(
        id="x", spec=agent.spec("true", image="app")), "image_missing")
    # A note that an agent left which died does not last.
    imported(agent, "app", source.folder)
    agent.kill()
    with open(f"{agent.state}/images/holds/agent.{own[7:]}", "w") as file:
        file.write(own[7:] + "\n")
    agent.start()
    assert not store_files(agent, "holds")
    assert list(remove(agent, "app").digests) == [own]


# ---- What goes wrong ----

def damaged(agent):
    """A damaged layer is found, named, refused, and mended by another import."""
    source = layout(agent)
    source.add([BASE, tar([("data", os.urandom(1 << 20))])])
    image = imported(agent, "app", source.folder)[0].image
    sound = checked(agent)
    assert sound.sound and sound.layers == 2 and sound.bytes == image.bytes, sound
    agent.run("up", image="app")
    layer = image.layers[1].digest
    with open(f"{agent.state}/images/layers/{layer[7:]}/layer.erofs", "r+b") as file:
        file.seek(9000)
        byte = file.read(1)
        file.seek(9000)
        file.write(bytes([byte[0] ^ 1]))
    # Nobody has looked yet.
    assert checked(agent, without_content=True).sound
    result = checked(agent)
    problem, = result.problems
    assert not result.sound and problem.kind == "damaged_layer", result
    assert problem.subject == layer and list(problem.images) == ["app"] and problem.message
    assert not checked(agent, without_content=True).sound
    assert list(listed(agent, "app").images[0].damaged_layers) == [layer]

    def create():
        return agent.calls.sandboxes.Create(api.sandboxes.CreateRequest(
            id="new", spec=agent.spec("wc", "-c", "/data", image="app")), timeout=60)

    def is_refused():
        try:
            create()
        except grpc.RpcError as error:
            assert error.code() == Code.FAILED_PRECONDITION, error
            return True
        agent.delete("new")
        return False

    eventually(is_refused)
    assert agent.get("up").state == STATE.Value("SANDBOX_STATE_RUNNING")
    again, _ = imported(agent, "app", source.folder)
    assert again.existed and again.layers_made == 1 and again.layers_present == 1, again
    assert checked(agent).sound and not listed(agent, "app").images[0].damaged_layers
    assert said(agent, "new", "wc", "-c", "/data", image="app").split()[0] == str(1 << 20)


def hostile(agent):
    """What no image may have is refused with words, and nothing of it is left."""
    outside = f"{agent.folder}/outside"
    broken = {
        "above": tar([("../" * 12 + outside.strip("/"), b"x")]),
        "through": tar([link("a", "/"), ("a/etc/passwd", b"x")]),
        "hard": tar([link("a", "../../etc/passwd", hard=True)]),
        "twice": tar([("a", b"1"), ("a", b"2")]),
        "device": tar([device("null")]),
        "cut": tar([("a", b"x" * 4096)])[:1024],
    }
    for number, (what, content) in enumerate(broken.items()):
        source = layout(agent, f"hostile-{number}")
        source.add([BASE, content])
        detail = refused(Code.INVALID_ARGUMENT, agent.calls.images.Import,
                         request("app", source.folder), timeout=120)
        assert detail.code in ("refused", "malformed", "digest_mismatch"), (what, detail)
    # Another content than announced.
    source = layout(agent, "changed")
    source.add([tar([("data", b"x" * 200_000)])], packed=False)
    blob, = [entry.path for entry in os.scandir(f"{source.folder}/blobs/sha256")
             if entry.stat().st_size > 100_000]
    with open(blob, "r+b") as file:
        file.seek(70_000)
        file.write(b"something else")
    refused(Code.INVALID_ARGUMENT, agent.calls.images.Import, request("app", source.folder))
    with open(f"{agent.folder}/noise", "wb") as file:
        file.write(os.urandom(100_000))
    refused(Code.INVALID_ARGUMENT, agent.calls.images.Import,
            request("app", f"{agent.folder}/noise"))
    assert not listed(agent).images and not os.path.exists(outside)
    assert not store_files(agent, "staging") and not store_files(agent, "leases")
    # What was sound of them is no image, and goes.
    agent.calls.images.Prune(images.PruneRequest(), timeout=60)
    assert not store_files(agent, "layers")
    # Device nodes can be asked for. They open nothing.
    source = layout(agent, "devices")
    source.add([BASE, tar([device("null")])])
    imported(agent, "app", source.folder, devices=images.DEVICE_NODES_KEEP)
    assert said(agent, "a", "sh", "-c", "! cat /null 2> /dev/null", image="app") == ""


def big(agent, name="layout", mib=48):
    """A layout that takes a moment."""
    source = layout(agent, name)
    source.add([BASE, *(tar([(f"data-{number}", os.urandom(mib << 20))]) for number in range(2))],
               packed=False)
    return source


def killed(agent):
    """An agent that is killed during an import leaves the image or nothing."""
    source = big(agent)
    for steps in (0, 1, 3, 8):
        call = agent.calls.images.Import(request("app", source.folder), timeout=300)
        for _ in range(steps):
            if next(call).WhichOneof("kind") == "result":
                break
        agent.kill()
        agent.start()
        found = listed(agent)
        assert not store_files(agent, "staging") and not store_files(agent, "leases")
        for image in found.images:
            assert not image.damaged_layers
            assert said(agent, "a", "wc", "-c", "/data-1", image="app").split()[0] == str(48 << 20)
            remove(agent, "app")
        assert all(each.kind == "unused_layer" for each in checked(agent).problems)
    # Layers that had come to their end are not made again.
    present = len(store_files(agent, "layers"))
    result, _ = imported(agent, "app", source.folder)
    assert result.layers_present == present and result.layers_made == 3 - present, result
    assert checked(agent).sound


def cancelled(agent):
    """An import ends with its call."""
    source = big(agent)
    call = agent.calls.images.Import(request("app", source.folder), timeout=300)
    assert next(call).progress.layers == 3
    call.cancel()
    eventually(lambda: not store_files(agent, "staging") and not store_files(agent, "leases"))
    # It may have been done by then.
    for image in listed(agent).images:
        remove(agent, image.digest)
    agent.calls.images.Prune(images.PruneRequest(), timeout=60)
    assert not store_files(agent, "layers")
    # So does the agent, asked to end, without waiting for it.
    call = agent.calls.images.Import(request("app", source.folder), timeout=300)
    next(call)
    agent.restart()
    assert not store_files(agent, "staging")


def together(agent):
    """Imports of one image at once do the work once."""
    source = big(agent, mib=8)
    results = []

    def run(number):
        results.append(imported(agent, f"app-{number}", source.folder)[0])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and sum(each.layers_made for each in results) == 3, results
    assert len({each.image.digest for each in results}) == 1
    image, = listed(agent).images
    assert list(image.names) == [f"app-{number}" for number in range(4)]
    assert len(store_files(agent, "layers")) == 3


def evicted():
    """At its bound the store lets go of what was used longest ago."""
    with Agent(images__capacity="24MiB") as agent:
        def add(name, **fields):
            source = layout(agent, name)
            source.add([BASE, tar([(name, os.urandom(5 << 20))])])
            return imported(agent, name, source.folder, **fields)[0]

        assert not add("pinned", pin=True).evicted
        assert listed(agent).store.capacity_bytes == 24 << 20
        add("used")
        agent.create("holder", "true", image="used")
        add("old")
        add("new")
        # Used since, and not in use.
        said(agent, "a", "true", image="old")
        eventually(lambda: listed(agent, "old").images[0].last_used_at_nanoseconds
                   > listed(agent, "new").images[0].last_used_at_nanoseconds)
        result = add("newest")
        assert list(result.evicted) == ["new"], (result, listed(agent))
        assert names(agent) == ["newest", "old", "pinned", "used"]
        assert listed(agent).store.bytes <= 24 << 20
        # What is in use, pinned, or would not suffice stays.
        source = layout(agent, "large")
        source.add([tar([("large", os.urandom(20 << 20))])])
        refused(Code.RESOURCE_EXHAUSTED, agent.calls.images.Import,
                request("large", source.folder), "no_space", timeout=120)
        assert names(agent) == ["newest", "old", "pinned", "used"]
        agent.begin("holder")
        assert agent.wait("holder").outcome.exit_code == 0


def many(agent):
    """Images are mounted once, and what is deleted holds nothing."""
    source = layout(agent)
    source.add([BASE])
    imported(agent, "app", source.folder)
    said(agent, "warm", "true", image="app")
    before = agent.descriptors()
    for number in range(20):
        agent.run(f"s-{number}", image="app")
    assert listed(agent, "app").images[0].sandboxes == 20
    assert len(listed(agent, "app").images[0].users) == 20
    agent.delete_all()
    agent.expect_nothing_left()
    eventually(lambda: agent.descriptors() <= before + 2)
    remove(agent, "app")


def with_agent(part):
    def run():
        with Agent() as agent:
            part(agent)
    run.__name__ = part.__name__
    return run


if __name__ == "__main__":
    run_parts(*map(with_agent, (
        shared, named, config, layers, used, damaged, hostile, killed, cancelled, together, many)),
        evicted)
