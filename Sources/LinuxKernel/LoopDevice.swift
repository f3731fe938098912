internal import CLinux

/// A file as a block device. The device is given back when its last user is gone.
public enum LoopDevice {
    /// Attaches a free device to a file. Gives its path and a descriptor, which keeps it until
    /// something is mounted from it.
    ///
    /// - Parameter isWritable: the file must have been opened for writing then.
    public static func attach(
        _ file: borrowing Descriptor, isWritable: Bool = false
    ) throws(SystemCallError) -> (path: String, device: OpenDevice) {
        let control = try Files.open("/dev/loop-control", .readWrite)
        while true {
            // LOOP_CTL_GET_FREE
            let number = try control.control(0x4C82, name: "LOOP_CTL_GET_FREE")
            let path = "/dev/loop\(number)"
            let device = try Files.open(path, isWritable ? .readWrite : .readOnly)
            // struct loop_config: the descriptor and the block size, struct loop_info64 of 232
            // bytes with its flags in the upper half of the seventh word, 64 bytes reserved.
            var configuration = InlineArray<38, UInt64>(repeating: 0)
            configuration[0] = UInt64(UInt32(bitPattern: file.rawValue))
            // LO_FLAGS_READ_ONLY, LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO
            configuration[7] = ((isWritable ? 0 : 1) | 4 | 16) << 32
            do throws(SystemCallError) {
                // LOOP_CONFIGURE
                try device.control(0x4C0A, with: &configuration, name: "LOOP_CONFIGURE")
                return (path, OpenDevice(device))
            } catch {
                // Somebody else took it in between.
                guard error.errorNumber == .busy else { throw error }
            }
        }
    }

    /// A place for a descriptor in a tuple.
    public final class OpenDevice: Sendable {
        private let descriptor: Descriptor

        init(_ descriptor: consuming Descriptor) {
            self.descriptor = descriptor
        }
    }
}
