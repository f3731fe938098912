internal import CLinux

/// Mounts that the host prepares for a child.
public enum Mounts {
    /// A copy of what stands at a descriptor, attached nowhere: it is gone when its descriptor is
    /// closed, unless somebody attached it.
    public static func detachedClone(
        of place: borrowing Descriptor, _ attributes: MountAttributes, subject: String
    ) throws(SystemCallError) -> Descriptor {
        let number = place.rawValue
        // AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
        let result = withAddress(of: "") {
            systemCall(__NR_open_tree, UInt64(argument: number), $0, 0x1000 | 1 | 0o2_000_000)
        }
        let clone = Descriptor(owning: Int32(try checked(result, "open_tree", subject)))
        var change = mount_attr(
            attr_set: attributes.rawValue, attr_clr: 0, propagation: 0, userns_fd: 0)
        let cloneNumber = clone.rawValue
        try checked(
            withAddress(of: "") { path in
                withAddress(of: &change) {
                    systemCall(
                        __NR_mount_setattr, UInt64(argument: cloneNumber), path, 0x1000, $0,
                        UInt64(MemoryLayout<mount_attr>.size))
                }
            }, "mount_setattr", subject)
        return clone
    }
}
