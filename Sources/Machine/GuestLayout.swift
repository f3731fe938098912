internal import GuestMemory

/// Where things are in a guest's address space.
enum GuestLayout {
    static func at(_ address: UInt64) -> GuestAddress { GuestAddress(rawValue: address) }

    /// Segments for 64-bit mode, for as long as the kernel has none of its own.
    static let descriptors = at(0x500)
    /// What PVH hands over.
    static let startInfo = at(0x6000)
    static let startMemoryMap = at(0x6100)
    static let startModules = at(0x6800)
    /// What Linux's own protocol hands over, the "zero page".
    static let bootPage = at(0x7000)
    static let stack: UInt64 = 0x8ff0
    /// Three tables that map the first gibibyte.
    static let pageTables = at(0x9000)
    static let commandLine = at(0x2_0000)
    /// The kernel's own bound, with the zero byte at the end.
    static let mostCommandLine = 2048
    /// The last kibibyte of the lowest memory: the table of processors and interrupts.
    static let processorTable = at(0x9_fc00)
    static let lowMemoryEnd = at(0xa_0000)
    static let highMemory = at(0x10_0000)

    /// Where an initial file system may end.
    static let initialFileSystemEnd: UInt64 = 0x3800_0000

    /// Devices, one window each.
    static let devices = at(0xd000_0000)
    static let mostDevices = 96
    /// The first interrupt that is not of some old device. Lines are shared when there are more
    /// devices.
    static let firstInterrupt: UInt32 = 5
    static let lastInterrupt: UInt32 = 23

    static let localInterrupts = at(0xfee0_0000)
    static let ioInterrupts = at(0xfec0_0000)
    /// Pages of KVM's own, where no memory is.
    static let identityMap = at(0xfffb_c000)
    static let taskStatePages = at(0xfffb_d000)

    static func interrupt(ofDevice index: Int) -> UInt32 {
        firstInterrupt + UInt32(index) % (lastInterrupt - firstInterrupt + 1)
    }

    static func window(ofDevice index: Int) -> GuestAddress {
        devices.advanced(by: UInt64(index) * 0x1000)
    }
}
