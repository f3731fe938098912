internal import Machine

/// What the guest's kernel and its first process are told.
enum KernelCommandLine {
    /// The kernel's own words. Those of rootfs/kernel/cmdline, which a test compares.
    static let standard = [
        "initcall_blacklist=slab_sysfs_init,param_sysfs_init", "swiotlb=noforce",
    ]
    /// For a guest of one processor.
    static let single = ["noreplace-smp"]

    static func words(_ options: RunOptions) -> [String] {
        var words = standard
        if options.machine.processors == 1 { words += single }
        switch options.console {
        case .none: break
        case .serial: words += ["8250.nr_uarts=1", "console=ttyS0", "loglevel=7"]
        // In this order: what was said before a console is there is said by the level of then.
        case .virtio: words += ["loglevel=7", "earlyprintk=ttyS0", "console=hvc0"]
        }
        return words + options.kernelWords
    }

    /// Those of alcove-init.
    static func arguments(_ options: RunOptions) -> [String] {
        var arguments = [
            "guest", "layers=\(options.layers.count)", "root=\(options.isReadOnly ? "ro" : "rw")",
        ]
        switch options.scratch {
        case .memory(let bytes): arguments.append("scratch=\(bytes)")
        case .disk: arguments.append("scratch=disk")
        }
        return arguments
    }
}
