public import LinuxKernel
public import SandboxModel

extension NodeCapabilities {
    /// Looks at the host.
    ///
    /// - Parameters:
    ///   - image: the status of the image, or of what it is kept in, where the disk below it
    ///     matters.
    ///   - scratch: the same of the directory for scratch space.
    ///   - spec: the sandbox whose process limits are looked at.
    public static func detect(
        hierarchy: CgroupHierarchy = .detect(), image: FileStatus? = nil,
        scratch: FileStatus? = nil, for spec: SandboxSpec? = nil
    ) -> NodeCapabilities {
        NodeCapabilities(
            memoryBytes: Machine.memoryBytes, milliCPUs: UInt32(Machine.cpuCount) * 1000,
            limitKinds: hierarchy.limitKinds,
            cgroupParent: hierarchy.root.map { $0 + "/alcove" },
            cgroupMode: hierarchy.mode.rawValue,
            maskedPaths: MaskedPath.candidates.filter { Files.exists($0.path) },
            readOnlyPaths: MaskedPath.readOnlyCandidates.filter { Files.exists($0) },
            imageDisk: image.flatMap(disk), scratchDisk: scratch.flatMap(disk),
            largestProcessLimits: spec.map(largestProcessLimits) ?? [:])
    }

    /// The largest hard limits that processes of a sandbox can get, of those that ask for more
    /// than this process has.
    private static func largestProcessLimits(
        for spec: SandboxSpec
    ) -> [ProcessLimitSetting.Resource: UInt64] {
        var largest: [ProcessLimitSetting.Resource: UInt64] = [:]
        for setting in spec.processLimits {
            let own = ThisProcess.limit(setting.resource.kernelLimit)?.hard ?? .max
            guard setting.hard > own else { continue }
            // CAP_SYS_RESOURCE raises it, and counts only outside of every user namespace.
            guard spec.identityMaps.isEmpty, Capabilities.isEffective(24) else {
                largest[setting.resource] = own
                continue
            }
            // This one has a bound for everyone.
            guard setting.resource == .openFiles else { continue }
            let text = (try? Files.read("/proc/sys/fs/nr_open")) ?? ""
            largest[.openFiles] = UInt64(text.prefix { $0 != "\n" })
        }
        return largest
    }

    /// The whole disk below a file, as `major:minor`: `io.max` takes no partition.
    private static func disk(below file: FileStatus) -> String? {
        let device = "\(file.device.major):\(file.device.minor)"
        let entry = "/sys/dev/block/" + device
        guard Files.exists(entry) else { return nil }
        guard Files.exists(entry + "/partition") else { return device }
        let disk = try? Files.read(entry + "/../dev")
        return disk.map { String($0.prefix { $0 != "\n" }) }
    }
}
