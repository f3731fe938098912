internal import Jail
internal import KVM
internal import LinuxKernel
internal import MicroVM
internal import SandboxModel

extension GuestJail {
    /// What microVMs run from where they are offered, or why they are not.
    static func find(
        _ settings: NodeSettings
    ) throws(AgentError) -> (guests: GuestJail?, obstacle: String?) {
        guard settings.microVMs != .never else {
            return (nil, "the operator does not allow it")
        }
        let directory =
            settings.monitorDirectory.isEmpty ? MonitorLocation.path() : settings.monitorDirectory
        do throws(SandboxError) {
            let guests = try GuestJail(directory)
            guard settings.microVMs == .auto else { return (guests, nil) }
            let speed = GuestSpeedProbe.measure()
            return speed.isFast ? (guests, nil) : (nil, obstacle(speed))
        } catch {
            guard settings.microVMs == .auto else { throw AgentError(error) }
            return (nil, error.message)
        }
    }

    private static func obstacle(_ speed: GuestSpeed) -> String {
        switch speed {
        case .absent: "there is no /dev/kvm"
        case .notPermitted(let error): "\(error)"
        case .unusable(let error): "KVM cannot be used: \(error)"
        case .notMeasured: "KVM was not measured"
        case .measured(let measurement):
            "KVM is slow here: \(Int(measurement.nanosecondsPerInstruction)) ns for an instruction"
                + " of a guest's kernel; `sandboxes.microvms` offers them all the same"
        }
    }
}
