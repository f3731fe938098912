internal import KVM
internal import LinuxKernel

extension HostFacts {
    /// Looks at the host. Takes some milliseconds, most of them for the guest and the sandbox that
    /// it starts to see whether that works.
    ///
    /// - Parameters:
    ///   - program: path of a static program that ends well with the argument `version`: what the
    ///     sandbox runs.
    ///   - initPath: where alcove-init should be.
    ///   - measuringGuest: whether to start a guest.
    public static func detect(
        program: String?, initPath: String, measuringGuest: Bool
    ) -> HostFacts {
        var facts = HostFacts()
        facts.lookAtKernel()
        facts.lookAtPrivileges()
        facts.lookAtCgroups()
        facts.fileSystems = ProcText.fileSystems(text("/proc/filesystems"))
        facts.memoryBytes = Machine.memoryBytes
        facts.cpuCount = Machine.cpuCount
        facts.initPath = initPath
        facts.initProgram = Self.initProgram(initPath)
        facts.kvm = Self.device()
        if measuringGuest { facts.guestSpeed = GuestSpeedProbe.measure() }
        facts.trial = facts.tryStart(program)
        return facts
    }

    private static func text(_ path: String) -> String { (try? Files.read(path)) ?? "" }

    private mutating func lookAtKernel() {
        release = Machine.kernelRelease
        architecture = Machine.architecture
        interfaces = Set(KernelInterface.allCases.filter(\.isPresent))
        namespaces = Set((try? DirectoryListing.names(in: "/proc/self/ns")) ?? [])
        largestUserNamespaceCount = ProcText.number(
            Self.text("/proc/sys/user/max_user_namespaces"))
        seccompActions = ProcText.words(Self.text("/proc/sys/kernel/seccomp/actions_avail"))
        hasPressure = Files.exists("/proc/pressure/memory")
    }

    private mutating func lookAtPrivileges() {
        effectiveUser = ThisProcess.effectiveUser
        capabilities = Set((0...Capabilities.last).filter { Capabilities.isEffective($0) })
        openFiles = ThisProcess.openFileLimit.map { OpenFileLimit(soft: $0.soft, hard: $0.hard) }
    }

    private mutating func lookAtCgroups() {
        cgroups = .detect()
        guard let root = cgroups.root else {
            cgroupKill = .absent
            cgroupFreeze = .absent
            return
        }
        // The root cgroup has neither file, so a child is made to look at, and removed.
        let name = "alcove-doctor-\(ThisProcess.identifier)"
        guard let directory = try? Files.open(root, [.path, .directory]),
            (try? Files.makeDirectory(name, at: directory)) != nil
        else { return }
        cgroupKill = Files.exists("\(root)/\(name)/cgroup.kill") ? .present : .absent
        cgroupFreeze = Files.exists("\(root)/\(name)/cgroup.freeze") ? .present : .absent
        try? Files.removeDirectory(name, at: directory)
    }

    private static func initProgram(_ path: String) -> Program {
        guard let status = try? Files.status(of: path) else { return .absent }
        return status.isExecutable ? .executable : .notExecutable
    }

    private static func device() -> Device {
        do throws(SystemCallError) {
            return .open(version: try System.open().version())
        } catch {
            switch error.errorNumber {
            case .noEntry, .noDevice, .noSuchDevice: return .absent
            case .permissionDenied, .notPermitted: return .notPermitted
            default: return .broken("\(error)")
            }
        }
    }

    private func tryStart(_ program: String?) -> SandboxTrial {
        guard effectiveUser == 0 else { return .notTried(reason: "it needs root") }
        guard initProgram == .executable else {
            return .notTried(reason: "it needs alcove-init")
        }
        guard let program else { return .notTried(reason: "this program's file is not there") }
        return SandboxTrial.run(program: program, initProgram: initPath)
    }
}
