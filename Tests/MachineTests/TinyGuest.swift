import GuestMemory
import KVM
import LinuxKernel
import Machine
import Testing
import Virtio

/// A guest of a few instructions, in 32-bit mode without paging, put together here.
struct TinyGuest {
    static let start = GuestAddress(rawValue: 0x10_0000)
    private(set) var code: [UInt8] = []

    private mutating func add(_ bytes: [UInt8]) { code += bytes }

    private static func little(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32($0 * 8)) }
    }

    /// Writes a byte to a port.
    mutating func out(_ port: UInt16, _ byte: UInt8) {
        // mov dx, port; mov al, byte; out dx, al
        add([0x66, 0xba, UInt8(port & 0xff), UInt8(port >> 8), 0xb0, byte, 0xee])
    }

    /// Writes a number to memory, or to where none is.
    mutating func store(_ value: UInt32, _ address: UInt64) {
        // mov dword [address], value
        add([0xc7, 0x05] + Self.little(UInt32(address)) + Self.little(value))
    }

    /// Writes half a number.
    mutating func storeHalf(_ value: UInt16, _ address: UInt64) {
        // mov word [address], value
        add([0x66, 0xc7, 0x05] + Self.little(UInt32(address)))
        add([UInt8(value & 0xff), UInt8(value >> 8)])
    }

    /// Copies a number.
    mutating func copy(from: UInt64, to: UInt64) {
        // mov eax, [from]; mov [to], eax
        add([0xa1] + Self.little(UInt32(from)) + [0xa3] + Self.little(UInt32(to)))
    }

    /// Goes round until the half-word at an address is that number.
    mutating func await(_ address: UInt64, is value: UInt8) {
        // cmp word [address], value; jne back
        add([0x66, 0x83, 0x3d] + Self.little(UInt32(address)) + [value, 0x75, 0xf6])
    }

    /// Counts at an address, for ever.
    mutating func count(at address: UInt64) {
        // inc dword [address]; jmp back
        add([0xff, 0x05] + Self.little(UInt32(address)) + [0xeb, 0xf8])
    }

    /// Gives registers values that no new processor has: general ones and a debug register.
    mutating func setUpRegisters() {
        // mov esi, 0x12345678; mov edi, 0x9abcdef0; mov ebp, esi
        add([0xbe, 0x78, 0x56, 0x34, 0x12, 0xbf, 0xf0, 0xde, 0xbc, 0x9a, 0x89, 0xf5])
        // mov dr0, esi
        add([0x0f, 0x23, 0xc6])
    }

    /// Reads a number again and again, counts how often it was that number, and fails when it was
    /// another one.
    mutating func readAndCheck(_ address: UInt64, is value: UInt32, counting counter: UInt64) {
        // again: mov eax, [address]; cmp eax, value; jne fail; inc dword [counter]; jmp again
        add([0xa1] + Self.little(UInt32(address)) + [0x3d] + Self.little(value) + [0x75, 0x08])
        add([0xff, 0x05] + Self.little(UInt32(counter)) + [0xeb, 0xec])
        fail()
    }

    /// Executes what is no instruction.
    mutating func fail() { add([0x0f, 0x0b]) }

    /// The way in which machines are switched off.
    mutating func reset() {
        out(0x64, 0xfe)
        // hlt; jmp back
        add([0xf4, 0xeb, 0xfd])
    }
}

/// A machine for a tiny guest.
struct TinyMachine {
    let loop: EventLoop
    let console = GuestConsole()
    let ends = Locked<[MachineEnd]>([])

    init() throws {
        loop = try EventLoop(named: "devices")
    }

    func prepare() throws -> PreparedMachine {
        try PreparedMachine(
            MachineConfiguration(memoryBytes: 4 << 20), on: System.open(), loop: loop)
    }

    func start(
        _ guest: TinyGuest, in prepared: consuming PreparedMachine
    ) throws -> RunningMachine {
        try prepared.memory.write(guest.code, to: TinyGuest.start)
        try prepared.begin { (cpu) throws(SystemCallError) in
            try cpu.enterFlatKernelMode()
            try cpu.setRegisters(VirtualCPU.Registers(instruction: TinyGuest.start))
        }
        let loop = loop
        let ends = ends
        return try prepared.start(console: console) { end in
            ends.with { $0.append(end) }
            loop.enqueue {}
        }
    }

    /// Lets the devices work until the guest has ended.
    func runToEnd() -> MachineEnd? {
        loop.runOnThisThread { ends.with { !$0.isEmpty } }
        return ends.with { $0.first }
    }
}
