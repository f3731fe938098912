internal import GuestMemory
internal import KVM
internal import LinuxKernel
internal import Virtio

/// Finds the device behind an address or a port. The threads of all processors use it.
final class DeviceBus: Sendable {
    /// What a processor does next.
    enum Verdict {
        case goOn
        case reset
    }

    private let transports: [VirtioTransport]
    private let serial: Locked<SerialPort>
    private let console: GuestConsole?

    init(_ transports: [VirtioTransport], serial: SerialPort, console: GuestConsole?) {
        self.transports = transports
        self.serial = Locked(serial)
        self.console = console
    }

    /// The serial port as it is now.
    var serialPort: SerialPort { serial.with { $0 } }

    /// A guest reads or writes where no memory is.
    func access(_ access: VirtualCPUExit.MemoryAccess, of cpu: borrowing VirtualCPU) {
        let offset = access.address.rawValue &- GuestLayout.devices.rawValue
        let index = offset / VirtioTransport.windowBytes
        let transport = index < UInt64(transports.count) ? transports[Int(index)] : nil
        let register = offset % VirtioTransport.windowBytes
        if let value = access.value {
            transport?.write(value, at: register, count: access.count)
        } else {
            cpu.answerMemory(transport?.read(at: register, count: access.count) ?? .max)
        }
    }

    /// A guest uses a port, once or, by an instruction for strings, many times.
    func access(
        _ access: VirtualCPUExit.PortAccess, of cpu: borrowing VirtualCPU
    ) -> Verdict {
        let isByte = access.size == 1
        for index in 0..<Int(access.count) {
            if access.isWrite {
                guard isByte else { continue }
                let byte = cpu.portByte(access, at: index)
                // The old way to reset: by the keyboard's controller.
                if access.port == 0x64, byte == 0xfe { return .reset }
                if SerialPort.ports.contains(access.port), let console {
                    if let shown = serial.with({ $0.write(byte, to: access.port) }) {
                        console.take(shown)
                    }
                }
            } else {
                let byte = isByte ? read(access.port) : 0xff
                for part in 0..<Int(access.size) {
                    cpu.answerPort(access, byte, at: index * Int(access.size) + part)
                }
            }
        }
        return .goOn
    }

    private func read(_ port: UInt16) -> UInt8 {
        switch port {
        case SerialPort.ports where console != nil: serial.with { $0.read(port) }
        // The keyboard's controller has nothing to say, and takes commands.
        case 0x64: 0
        // The second timer has run out, for who calibrates by it.
        case 0x61: 0x20
        default: 0xff
        }
    }
}
