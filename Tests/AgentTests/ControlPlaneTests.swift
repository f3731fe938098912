import TestSupport
import Testing

/// The example of a control plane, which needs no agent.
@Suite struct ControlPlaneTests {
    @Test(
        "the reference control plane keeps its contract and finds who breaks it",
        .needs(.pythonEnvironment))
    func referenceControlPlane() throws {
        try AgentScript("reference_control_plane").run()
    }
}
