/// A serial port of the old kind, for a guest's console. Corresponds to a 16550A.
///
/// What the guest writes goes to a sink at once; there is no input. It has no interrupt: drivers of
/// a console poll.
struct SerialPort: Hashable, Sendable {
    static let ports: ClosedRange<UInt16> = 0x3f8...0x3ff

    private var interruptEnable: UInt8 = 0
    private var lineControl: UInt8 = 0
    private var modemControl: UInt8 = 0
    private var scratch: UInt8 = 0
    private var fifoControl: UInt8 = 0
    private var divisor: UInt16 = 0

    init() {}

    /// Of another one's ``state``; nil for what is none.
    init?(_ state: [UInt8]) {
        guard state.count == 7 else { return nil }
        interruptEnable = state[0]
        lineControl = state[1]
        modemControl = state[2]
        scratch = state[3]
        fifoControl = state[4]
        divisor = UInt16(state[5]) | UInt16(state[6]) << 8
    }

    /// All that a driver has set.
    var state: [UInt8] {
        [
            interruptEnable, lineControl, modemControl, scratch, fifoControl,
            UInt8(truncatingIfNeeded: divisor), UInt8(divisor >> 8),
        ]
    }

    private var isDivisorSelected: Bool { lineControl & 0x80 != 0 }
    private var isLoop: Bool { modemControl & 0x10 != 0 }

    func read(_ port: UInt16) -> UInt8 {
        switch port - Self.ports.lowerBound {
        case 0: isDivisorSelected ? UInt8(truncatingIfNeeded: divisor) : 0
        case 1: isDivisorSelected ? UInt8(divisor >> 8) : interruptEnable
        // No interrupt is pending; the queues are there if asked for.
        case 2: fifoControl & 1 != 0 ? 0xc1 : 0x01
        case 3: lineControl
        case 4: modemControl
        // Everything was sent, nothing was received.
        case 5: 0x60
        case 6: isLoop ? loopedModemStatus : 0xb0
        default: scratch
        }
    }

    private var loopedModemStatus: UInt8 {
        (modemControl & 2) << 3 | (modemControl & 1) << 5 | (modemControl & 0xc) << 4
    }

    /// The byte that is to be shown, if it is one.
    mutating func write(_ byte: UInt8, to port: UInt16) -> UInt8? {
        switch port - Self.ports.lowerBound {
        case 0:
            if isDivisorSelected {
                divisor = divisor & 0xff00 | UInt16(byte)
            } else if !isLoop {
                return byte
            }
        case 1:
            if isDivisorSelected {
                divisor = divisor & 0xff | UInt16(byte) << 8
            } else {
                interruptEnable = byte & 0xf
            }
        case 2: fifoControl = byte
        case 3: lineControl = byte
        case 4: modemControl = byte & 0x1f
        case 7: scratch = byte
        default: break
        }
        return nil
    }
}
