/// The steps by which a sandbox comes to be, in order, computed before anything starts.
///
/// The plan is what is printed, documented, tested and performed: there is no other description of
/// the jail.
public struct SandboxPlan: Hashable, Sendable {
    public let steps: [PlanStep]

    /// Where a sandbox's network namespace comes from.
    public enum Network: Hashable, Sendable {
        /// Made with the process.
        case new
        /// Made ahead of time, with its loopback up.
        case pooled
        /// Being made while the sandbox starts, by a process beside it.
        case begun
    }

    /// - Parameters:
    ///   - cgroup: path of the sandbox's cgroup, where the host has a tree for it.
    ///   - boundingSet: who drops it: a host whose thread does nothing but start sandboxes does it
    ///     once, and each child inherits that. A new user namespace comes with a full set, which
    ///     only the child can drop.
    public init(
        for spec: SandboxSpec, on node: NodeCapabilities, cgroup: String?, network: Network = .new,
        boundingSet: PlanStep.Performer = .child
    ) {
        let drop = PlanStep.dropBoundingSet(by: boundingSet)
        steps =
            (boundingSet == .host ? [drop] : []) + Self.hostSteps(spec, node, cgroup, network)
            + Self.mountSteps(spec, network) + Self.insideSteps(spec, node, network)
            + (boundingSet == .child ? [drop] : []) + Self.privilegeSteps(spec)
    }

    private static func hostSteps(
        _ spec: SandboxSpec, _ node: NodeCapabilities, _ cgroup: String?, _ network: Network
    ) -> [PlanStep] {
        var steps: [PlanStep] = []
        if let cgroup {
            steps.append(.createCgroup(path: cgroup))
            steps += spec.cgroupSettings(on: node).map {
                .limitCgroup(file: $0.file, value: $0.value)
            }
        }
        if spec.scratchPlace == .disk { steps.append(.formatScratch(bytes: spec.scratchBytes)) }
        steps.append(.cloneImage(path: spec.image))
        var namespaces: [PlanStep.Namespace] = [.mount, .pid, .ipc, .uts]
        if network == .new { namespaces.append(.network) }
        if !spec.identityMaps.isEmpty { namespaces.append(.user) }
        steps.append(.createProcess(namespaces: namespaces, insideCgroup: cgroup != nil))
        return steps
    }

    private static func mountSteps(_ spec: SandboxSpec, _ network: Network) -> [PlanStep] {
        var steps: [PlanStep] = []
        if !spec.identityMaps.isEmpty { steps.append(.awaitIdentityMaps(spec.identityMaps)) }
        steps.append(.newCgroupNamespace)
        if network == .pooled { steps.append(.joinNetwork(.pooled)) }
        steps += [
            .makeMountsPrivate,
            spec.scratchPlace == .memory ? .makeScratch(bytes: spec.scratchBytes) : .mountScratch,
            spec.root == .readOnly ? .mountImage : .mountOverlay,
            .makeProc,
            .makeDevices(spec.identityMaps.isEmpty ? .created : .bound),
        ]
        if let machine = spec.machine { steps.append(.takeMachineFiles(machine.files)) }
        if let file = spec.nameFile { steps.append(.takeNameFile(path: file)) }
        steps.append(.enterRoot)
        return steps
    }

    private static func insideSteps(
        _ spec: SandboxSpec, _ node: NodeCapabilities, _ network: Network
    ) -> [PlanStep] {
        var steps: [PlanStep] = [.mountProc, .mountDevices]
        if let machine = spec.machine { steps.append(.mountMachineFiles(machine.files)) }
        if spec.nameFile != nil { steps.append(.mountNameFile(spec.root)) }
        steps += [
            .mountTerminals, .mountTemporary,
            .mask(paths: node.maskedPaths),
            .protect(paths: node.readOnlyPaths),
            .setHostname(spec.hostname),
        ]
        switch network {
        case .new: steps.append(.raiseLoopback)
        case .begun: steps.append(.joinNetwork(.begun))
        case .pooled: break
        }
        if spec.terminal { steps.append(.openTerminal) }
        steps += spec.processLimits.map { .limitProcess($0) }
        return steps
    }

    private static func privilegeSteps(_ spec: SandboxSpec) -> [PlanStep] {
        [
            .dropGroups, .setIdentity(spec.user), .dropCapabilities,
            .changeDirectory(path: spec.workingDirectory), .forbidNewPrivileges,
            .closeDescriptors, .loadFilter(denial: spec.deniedCalls),
            .execute(command: spec.command),
        ]
    }
}

/// One step of a plan.
public enum PlanStep: Hashable, Sendable {
    /// A kernel name space of the sandbox's own.
    public enum Namespace: String, CaseIterable, Hashable, Sendable {
        case mount, pid, ipc, uts, network, user
    }

    /// How the device nodes come to be.
    public enum DeviceSource: Hashable, Sendable {
        case created
        /// Bound from the host's, since a user namespace may not create any.
        case bound
    }

    /// Who performs a step.
    public enum Performer: String, Hashable, Sendable {
        case host
        /// The child, in C, between `clone3` and `exec`.
        case child
    }

    case createCgroup(path: String)
    case limitCgroup(file: String, value: String)
    case cloneImage(path: String)
    case createProcess(namespaces: [Namespace], insideCgroup: Bool)
    case awaitIdentityMaps([SandboxSpec.IdentityMap])
    case newCgroupNamespace
    case joinNetwork(SandboxPlan.Network)
    case makeMountsPrivate
    case formatScratch(bytes: UInt64)
    case makeScratch(bytes: UInt64)
    case mountScratch
    case mountImage
    case mountOverlay
    case makeProc
    case makeDevices(DeviceSource)
    case takeMachineFiles([MachineParts.File])
    case takeNameFile(path: String)
    case enterRoot
    case mountProc
    case mountDevices
    case mountMachineFiles([MachineParts.File])
    case mountNameFile(SandboxSpec.Root)
    case mountTerminals
    case mountTemporary
    case mask(paths: [MaskedPath])
    case protect(paths: [String])
    case setHostname(String)
    case raiseLoopback
    case openTerminal
    case limitProcess(ProcessLimitSetting)
    case dropBoundingSet(by: Performer)
    case dropGroups
    case setIdentity(SandboxSpec.User)
    case dropCapabilities
    case changeDirectory(path: String)
    case forbidNewPrivileges
    case closeDescriptors
    case loadFilter(denial: CallPolicy.Denial)
    case execute(command: [String])

    public var performer: Performer {
        switch self {
        case .createCgroup, .limitCgroup, .formatScratch, .cloneImage, .createProcess: .host
        case .dropBoundingSet(let performer): performer
        case .awaitIdentityMaps, .newCgroupNamespace, .joinNetwork, .makeMountsPrivate,
            .makeScratch, .mountScratch, .mountImage, .mountOverlay, .makeProc, .makeDevices,
            .enterRoot, .mountProc, .takeMachineFiles, .mountDevices, .mountMachineFiles,
            .takeNameFile, .mountNameFile, .mountTerminals, .mountTemporary, .mask, .protect,
            .setHostname, .raiseLoopback, .openTerminal, .limitProcess, .dropGroups,
            .setIdentity, .dropCapabilities, .changeDirectory, .forbidNewPrivileges,
            .closeDescriptors, .loadFilter, .execute:
            .child
        }
    }
}

extension SandboxSpec {
    /// The control files that a cgroup gets, in order, for the limits that the node enforces.
    public func cgroupSettings(on node: NodeCapabilities) -> [(file: String, value: String)] {
        var settings: [(file: String, value: String)] = []
        for kind in limits.kinds where obstacle(to: kind, on: node) == nil {
            switch kind {
            case .memory:
                settings.append(("memory.max", "\(limits.memoryBytes ?? 0)"))
                // What is limited is memory: swapping would hide that it is used up.
                settings.append(("memory.swap.max", "0"))
                settings.append(("memory.oom.group", "1"))
            case .cpu:
                settings.append(("cpu.max", "\(UInt64(limits.milliCPUs ?? 0) * 100) 100000"))
            case .pids: settings.append(("pids.max", "\(limits.pids ?? 0)"))
            case .io:
                let rates = [
                    ("rbps", limits.readBytesPerSecond), ("wbps", limits.writeBytesPerSecond),
                ]
                let values = rates.compactMap { name, rate in rate.map { "\(name)=\($0)" } }
                for disk in disks(of: node) {
                    settings.append(("io.max", ([disk] + values).joined(separator: " ")))
                }
            }
        }
        return settings
    }

    /// The disks that it reads and writes, each once.
    private func disks(of node: NodeCapabilities) -> [String] {
        let image = node.imageDisk.map { [$0] } ?? []
        guard scratchPlace == .disk, let scratch = node.scratchDisk, !image.contains(scratch)
        else { return image }
        return image + [scratch]
    }
}
