internal import CInit

/// What stopped the set-up of a guest.
struct GuestError: Error {
    let step: StaticString
    /// The kernel's error number, if it was the kernel.
    var number: Int32?

    /// The guest's last words.
    func tell() {
        var line = TextBuilder(.line, "alcove-init: ")
        line.append(step)
        if let number {
            line.append(": error ")
            line.append(UInt64(number.magnitude))
        }
        line.append(UInt8(ascii: "\n"))
        line.tell()
    }
}

/// The files of a guest: from block devices, and a layer to write to.
struct GuestTree {
    private let request: GuestRequest.Tree

    init(_ request: GuestRequest.Tree) {
        self.request = request
    }

    /// Makes it, and the root of this process. What this process was started from is gone then.
    func enter() throws(GuestError) {
        cinit_set_creation_mask(0)
        // The node is needed by the kernel alone, before this process.
        _ = remove("/dev/console")
        try check("mount /dev", mount("devtmpfs", "dev", at: "/dev", .noSetID, ""))
        try mountLayers()
        try mountScratch()
        try mountRoot()
        try mountSystem()
        try mountDevices()
        _ = remove("/init")
        try check("enter the root", enterRoot("/root"))
        cinit_set_creation_mask(0o022)
    }

    private func check(_ step: StaticString, _ result: Int32) throws(GuestError) {
        if result < 0 { throw GuestError(step: step, number: -result) }
    }

    private func makeDirectory(_ path: KernelText, _ mode: UInt32) throws(GuestError) {
        let result = alcove_init.makeDirectory(path, mode: mode)
        // A disk may have it.
        if result != -CINIT_EEXIST { try check("make a directory", result) }
    }

    /// The path of a block device, from 0 on: vda ... vdz, vdaa ...
    private func device(_ index: UInt64) -> KernelText {
        var path = TextBuilder(.device, "/dev/vd")
        let letters: UInt64 = 26
        if index >= letters { path.append(UInt8(ascii: "a") + UInt8(index / letters - 1)) }
        path.append(UInt8(ascii: "a") + UInt8(index % letters))
        return path.text
    }

    private func layer(_ index: UInt64) -> KernelText {
        var path = TextBuilder(.place, "/l/")
        path.append(index)
        return path.text
    }

    /// With a single layer that is not written to, that is the root.
    private var isLayered: Bool { request.layers > 1 || request.isWritable }

    private func mountLayers() throws(GuestError) {
        try makeDirectory("/root", 0o755)
        guard isLayered else { return try mountLayer(0, at: "/root") }
        try makeDirectory("/l", 0o700)
        for index in 0..<request.layers {
            try makeDirectory(layer(index), 0o700)
            try mountLayer(index, at: layer(index))
        }
    }

    private func mountLayer(_ index: UInt64, at path: KernelText) throws(GuestError) {
        try check(
            "mount a layer", mount("erofs", device(index), at: path, .readOnly | .noDevices, ""))
    }

    /// What is bound from it is as inert as it is; what of it is in the root is as that.
    private func mountScratch() throws(GuestError) {
        let inert: MountFlags = .noSetID | .noDevices
        try makeDirectory("/scratch", 0o700)
        switch request.scratch {
        case .memory(let bytes):
            var options = TextBuilder(.options, "mode=755,size=")
            options.append(bytes)
            options.append(",nr_inodes=")
            options.append(max(1024, bytes / 4096))
            try check(
                "mount scratch memory",
                mount("tmpfs", "scratch", at: "/scratch", inert, options.text))
        case .disk:
            try check(
                "mount the scratch disk",
                mount("ext4", device(request.layers), at: "/scratch", inert, ""))
        }
        try makeDirectory("/scratch/tmp", 0o1777)
        try makeDirectory("/scratch/shm", 0o1777)
    }

    private func mountRoot() throws(GuestError) {
        guard isLayered else { return }
        var options = TextBuilder(.options, "lowerdir=")
        for index in 0..<request.layers {
            if index > 0 { options.append(UInt8(ascii: ":")) }
            options.append("/l/")
            options.append(index)
        }
        var flags: MountFlags = .readOnly | .noDevices
        if request.isWritable {
            try makeDirectory("/scratch/upper", 0o755)
            try makeDirectory("/scratch/work", 0o755)
            options.append(",upperdir=/scratch/upper,workdir=/scratch/work")
            flags = .noDevices
        }
        try check("mount the layers", mount("overlay", "root", at: "/root", flags, options.text))
    }

    /// What the kernel has to say.
    private func mountSystem() throws(GuestError) {
        let inert: MountFlags = .noSetID | .noDevices | .noExecution
        try place("mount /proc", "/root/proc") { mount("proc", "proc", at: $0, inert, "") }
        try place("mount /tmp", "/root/tmp") {
            mount("", "/scratch/tmp", at: $0, .bind, "")
        }
        // An image that has no place for it and cannot be given one does without.
        let groups: KernelText = "/root/sys/fs/cgroup"
        let system = mount("sysfs", "sys", at: "/root/sys", inert | .readOnly, "")
        if system == -KernelError.noEntry {
            guard request.isWritable else { return }
            try place("mount /sys", "/root/sys") {
                mount("sysfs", "sys", at: $0, inert | .readOnly, "")
            }
        } else {
            try check("mount /sys", system)
        }
        try check(
            "mount /sys/fs/cgroup", mount("cgroup2", "cgroup", at: groups, inert, ""))
        // This mount, and not the file system: this process may make groups.
        try check(
            "make /sys/fs/cgroup read-only",
            mount("", "", at: groups, inert | .readOnly | .bind | .again, ""))
    }

    /// Mounts at a place, which is made where it is missing in a root that can be written.
    private func place(
        _ step: StaticString, _ path: KernelText, _ mount: (KernelText) -> Int32
    ) throws(GuestError) {
        var result = mount(path)
        if result == -KernelError.noEntry && request.isWritable {
            try makeDirectory(path, 0o755)
            result = mount(path)
        }
        try check(step, result)
    }

    private func mountDevices() throws(GuestError) {
        try makeDirectory("/dev/pts", 0o755)
        try check(
            "mount /dev/pts",
            mount(
                "devpts", "devpts", at: "/dev/pts", .noSetID | .noExecution,
                "ptmxmode=666,mode=620,gid=5"))
        try makeDirectory("/dev/shm", 0o1777)
        try check("mount /dev/shm", mount("", "/scratch/shm", at: "/dev/shm", .bind, ""))
        try check("link", makeLink(to: "/proc/self/fd", at: "/dev/fd"))
        try check("link", makeLink(to: "/proc/self/fd/0", at: "/dev/stdin"))
        try check("link", makeLink(to: "/proc/self/fd/1", at: "/dev/stdout"))
        try check("link", makeLink(to: "/proc/self/fd/2", at: "/dev/stderr"))
        // With all that is mounted in it.
        try place("mount /dev", "/root/dev") { mount("", "/dev", at: $0, .move, "") }
    }
}
