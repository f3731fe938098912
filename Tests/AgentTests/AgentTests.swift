import TestSupport
import Testing

/// Every test that starts an agent stands in a suite below this one: they share two processors and
/// count what is left on the host.
///
/// The judge is a client that nobody here wrote: Python's grpcio. Each test runs one script, which
/// starts the agents it needs, each with folders, a socket and a cgroup of its own.
@Suite(.serialized, .needs(.root, .sysAdmin, .cgroupV2, .overlay, .pythonEnvironment))
struct AgentTests {
    @Test("sandboxes are created, started, stopped, listed, watched and limited as defined")
    func sandboxes() throws {
        try AgentScript("sandboxes").run()
    }

    @Test("commands run inside with their streams, terminals, signals and ends")
    func commands() throws {
        try AgentScript("commands").run()
    }

    @Test("logs are whole, bounded and outlive the agent, and use is measured")
    func looking() throws {
        try AgentScript("looking").run()
    }

    @Test("images, the node, its capacity, drains, health and reflection are as defined")
    func node() throws {
        try AgentScript("node").run()
    }

    @Test("images are imported, shared, run, checked, evicted and removed", .needs(.erofs))
    func images() throws {
        try AgentScript("images").run()
    }

    @Test(
        "scratch space on the disk is bounded, reserved, adopted, and gone with its sandbox",
        .needs(.erofs, .loopDevices, .mkfsExt4))
    func scratch() throws {
        try AgentScript("scratch").run()
    }

    @Test(
        "sandboxes reach what their networks open and nothing else, over changes and restarts",
        .needs(.netAdmin, .ip, .python3))
    func networks() throws {
        try AgentScript("networks").run()
    }

    @Test("peers that leave, hurry, vanish or never read cost little and break nothing")
    func peers() throws {
        try AgentScript("peers").run()
    }

    @Test("of a thousand creates at once exactly those are admitted for which there is room")
    func storm() throws {
        try AgentScript("storm").run()
    }

    @Test(
        "what the agent counts is what happened, as Prometheus's own library reads it",
        .needs(.erofs, .loopDevices, .mkfsExt4))
    func metrics() throws {
        try AgentScript("metrics").run()
    }

    @Test("an agent that is asked to end leaves sandboxes, or stops them first if told so")
    func ending() throws {
        try AgentScript("ending").run()
    }

    @Test("a configuration that is read again holds where it can, and is refused with its mistakes")
    func reload() throws {
        try AgentScript("reload").run()
    }

    @Test("an agent tells its control plane everything, over faults of both")
    func session() throws {
        try AgentScript("session").run()
    }

    @Test("full, damaged and read-only disks, full tables and other versions cost no sandbox")
    func faults() throws {
        try AgentScript("faults").run()
    }

    @Test("an agent that is killed anywhere loses nothing it said, and leaves nothing")
    func crash() throws {
        try AgentScript("crash").run()
    }
}
