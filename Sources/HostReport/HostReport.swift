internal import KVM
internal import LinuxKernel
internal import SandboxModel

/// What a host can do, check by check. A pure function of the facts.
public struct HostReport: Sendable {
    /// The kinds of isolation that `auto` chooses from.
    public enum Isolation: String, Sendable {
        case microvm, process
    }

    public let checks: [HostCheck]
    public let isolation: Isolation

    /// Whether a process sandbox can start.
    public var canStart: Bool { !checks.contains(where: \.isBlocking) }

    public init(_ facts: HostFacts) {
        isolation = facts.guestSpeed.isFast ? .microvm : .process
        checks =
            Self.kernel(facts) + Self.namespaces(facts) + Self.privileges(facts)
            + Self.cgroups(facts) + Self.fileSystems(facts) + Self.node(facts) + Self.kvm(facts)
    }

    private static func kernel(_ facts: HostFacts) -> [HostCheck] {
        let release = KernelRelease(facts.release)
        let isNewEnough = release.map { $0 >= HostSubject.oldestRelease } ?? false
        func check(_ subject: HostSubject, _ needed: KernelInterface...) -> HostCheck {
            let missing = needed.filter { !facts.interfaces.contains($0) }
            if missing.isEmpty { return subject.check(.good, "present") }
            return subject.check(
                .missing, "no " + missing.map(\.rawValue).joined(separator: ", "))
        }
        return [
            HostSubject.kernelRelease.check(
                isNewEnough ? .good : .missing,
                facts.release.isEmpty ? "unknown" : facts.release),
            HostSubject.architecture.check(
                facts.architecture == "x86_64" ? .good : .missing,
                facts.architecture.isEmpty ? "unknown" : facts.architecture),
            check(.clone, .clone3), check(.cloneIntoCgroup, .cloneIntoCgroup),
            check(.pidfd, .openProcess, .signalProcess),
            check(.mountInterface, .openTree, .moveMount, .openFileSystem, .setMountAttributes),
            check(.openResolved, .openResolved), check(.closeRange, .closeRange),
            HostSubject.seccompNotify.check(
                facts.seccompActions.contains("user_notif"), otherwise: .missing),
            HostSubject.seccompKill.check(
                facts.seccompActions.contains("kill_process"), otherwise: .missing),
        ]
    }

    private static func namespaces(_ facts: HostFacts) -> [HostCheck] {
        var checks = HostSubject.namespaceKinds.map { kind in
            HostSubject.namespace(kind).check(
                facts.namespaces.contains(kind), otherwise: kind == "user" ? .limited : .missing)
        }
        let count = facts.largestUserNamespaceCount
        checks.append(
            HostSubject.userNamespaces.check(
                count ?? 0 > 0 ? .good : .limited, count.map { "at most \($0)" } ?? "unknown"))
        let hasMapped = KernelRelease(facts.release).map { $0 >= KernelRelease(5, 12) } ?? false
        checks.append(
            HostSubject.mappedMounts.check(
                hasMapped ? .good : .limited, hasMapped ? "since Linux 5.12" : "absent"))
        checks.append(HostSubject.pressure.check(facts.hasPressure, otherwise: .limited))
        return checks
    }

    private static func privileges(_ facts: HostFacts) -> [HostCheck] {
        let missing = HostSubject.neededCapabilities.filter { !facts.capabilities.contains($0) }
        let names = missing.map { Capabilities.name(of: $0) }.joined(separator: ", ")
        let hasResource = facts.capabilities.contains(HostSubject.resourceCapabilityNumber)
        let files = facts.openFiles
        return [
            HostSubject.root.check(
                facts.effectiveUser == 0 ? .good : .missing,
                facts.effectiveUser == 0 ? "root" : "user \(facts.effectiveUser)"),
            HostSubject.capabilities.check(
                missing.isEmpty ? .good : .missing,
                missing.isEmpty ? "all that a start needs" : "without \(names)"),
            HostSubject.resourceCapability.check(hasResource, otherwise: .limited),
            HostSubject.openFiles.check(
                files?.soft ?? 0 >= HostSubject.fewOpenFiles ? .good : .limited,
                files.map { "\($0.soft) of \(number($0.hard))" } ?? "unknown"),
        ]
    }

    /// A limit, whose largest number means that there is none.
    private static func number(_ limit: UInt64) -> String {
        limit == .max ? "unlimited" : "\(limit)"
    }

    private static func cgroups(_ facts: HostFacts) -> [HostCheck] {
        let mode = facts.cgroups.mode
        let place = facts.cgroups.root.map { ", v2 at \($0)" } ?? ""
        var checks = [
            HostSubject.cgroupMode.check(
                mode == .unified ? .good : .limited, mode.rawValue + place)
        ]
        for kind in ["cpu", "memory", "pids", "io"] {
            checks.append(
                HostSubject.controller(kind).check(
                    facts.cgroups.controllers.contains(kind), otherwise: .limited))
        }
        // Where there is no tree, sandboxes start outside of any cgroup.
        let isNeeded = facts.cgroups.root != nil
        checks.append(
            presence(
                of: .cgroupKill, facts.cgroupKill, since: KernelRelease(5, 14), facts,
                otherwise: isNeeded ? .missing : .limited))
        checks.append(
            presence(
                of: .cgroupFreeze, facts.cgroupFreeze, since: KernelRelease(5, 2), facts,
                otherwise: .limited))
        return checks
    }

    /// A file of every cgroup: as seen, or by the kernel's release where nothing was to be seen.
    private static func presence(
        of subject: HostSubject, _ presence: HostFacts.Presence, since first: KernelRelease,
        _ facts: HostFacts, otherwise: HostCheck.State
    ) -> HostCheck {
        switch presence {
        case .present: return subject.check(.good, "present")
        case .absent: return subject.check(otherwise, "absent")
        case .unknown:
            let has = KernelRelease(facts.release).map { $0 >= first } ?? false
            return subject.check(
                has ? .good : otherwise,
                has ? "since Linux \(first); not looked at" : "Linux \(first) brings it")
        }
    }

    private static func fileSystems(_ facts: HostFacts) -> [HostCheck] {
        ["tmpfs", "proc", "devpts"].map { name in
            HostSubject.fileSystem(name).check(
                facts.fileSystems.contains(name), otherwise: .missing)
        } + [
            HostSubject.overlay.check(facts.fileSystems.contains("overlay"), otherwise: .limited)
        ]
    }

    private static func node(_ facts: HostFacts) -> [HostCheck] {
        let initState: (HostCheck.State, String) =
            switch facts.initProgram {
            case .executable: (.good, facts.initPath)
            case .notExecutable: (.missing, "\(facts.initPath) is not executable")
            case .absent: (.missing, "not at \(facts.initPath)")
            }
        let trial: (HostCheck.State, String) =
            switch facts.trial {
            case .started(let nanoseconds):
                (.good, "\(Decimals.text(Double(nanoseconds) / 1e6)) ms to its end")
            case .failed(let reason): (.missing, reason)
            case .notTried(let reason): (.limited, "not tried: \(reason)")
            }
        return [
            HostSubject.memory.check(
                facts.memoryBytes > 0 ? .good : .limited, "\(facts.memoryBytes >> 20) MiB"),
            HostSubject.cpus.check(facts.cpuCount > 0 ? .good : .limited, "\(facts.cpuCount)"),
            HostSubject.initProgram.check(initState.0, initState.1),
            HostSubject.sandboxStart.check(trial.0, trial.1),
        ]
    }
}
