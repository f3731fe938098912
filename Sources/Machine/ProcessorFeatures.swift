internal import KVM

/// What a guest is shown of its processors: the host's features that KVM can give, where each
/// processor is, and nothing that a guest has no business with.
enum ProcessorFeatures {
    /// Changes what KVM supports into what one processor shows.
    static func fit(_ features: borrowing CPUFeatures, processor: Int, of count: Int) {
        let number = UInt32(processor)
        let others = UInt32(count - 1)
        let bits = UInt32(UInt32.bitWidth - others.leadingZeroBitCount)
        features.change { entry in
            switch entry.function {
            case 0x1:
                entry.ebx = entry.ebx & 0xffff | number << 24 | UInt32(count) << 16
                // A guest that knows that it is one, and has the deadline timer that KVM makes;
                // no MONITOR.
                entry.ecx = (entry.ecx | 1 << 31 | 1 << 24) & ~(1 << 3)
                entry.edx = count > 1 ? entry.edx | 1 << 28 : entry.edx & ~(1 << 28)
            case 0x4: fitCache(&entry, others)
            // Power, performance counters: the host's own affair.
            case 0x5, 0x6, 0xa: clear(&entry)
            case 0xb, 0x1f: fitTopology(&entry, number, UInt32(count), bits)
            // The features of KVM that change how a guest waits stay; so does its clock.
            case 0x8000_0008: entry.ecx = entry.ecx & ~0xf0ff | bits << 12 | others
            case 0x8000_001e:
                entry.eax = number
                entry.ebx = number & 0xff
                entry.ecx = 0
            default: break
            }
        }
    }

    private static func clear(_ entry: inout CPUFeatures.Entry) {
        entry.eax = 0
        entry.ebx = 0
        entry.ecx = 0
        entry.edx = 0
    }

    /// The last level is shared by all, the others by nobody.
    private static func fitCache(_ entry: inout CPUFeatures.Entry, _ others: UInt32) {
        guard entry.eax & 0x1f != 0 else { return }
        let level = entry.eax >> 5 & 0x7
        entry.eax = entry.eax & 0x3fff | others << 26 | (level >= 3 ? others << 14 : 0)
    }

    private static func fitTopology(
        _ entry: inout CPUFeatures.Entry, _ number: UInt32, _ count: UInt32, _ bits: UInt32
    ) {
        entry.edx = number
        switch entry.index {
        case 0:
            // One thread in each core.
            entry.eax = 0
            entry.ebx = 1
            entry.ecx = 1 << 8
        case 1:
            entry.eax = bits
            entry.ebx = count
            entry.ecx = 2 << 8 | 1
        default:
            entry.eax = 0
            entry.ebx = 0
            entry.ecx = entry.index
        }
    }

    /// Where a table says what a processor can do, bit by bit.
    private static let bits: [(function: UInt32, index: UInt32, register: String)] = [
        (0x1, 0, "ecx"), (0x1, 0, "edx"), (0x7, 0, "ebx"), (0x7, 0, "ecx"), (0x7, 0, "edx"),
        (0x7, 1, "eax"), (0x7, 1, "edx"), (0x7, 2, "edx"), (0xd, 0, "eax"), (0xd, 0, "edx"),
        (0xd, 1, "eax"), (0x4000_0001, 0, "eax"), (0x8000_0001, 0, "ecx"),
        (0x8000_0001, 0, "edx"), (0x8000_0007, 0, "edx"), (0x8000_0008, 0, "ebx"),
    ]

    /// What a guest was shown and this table has not, in words.
    static func missing(
        of shown: [CPUFeatures.Entry], in host: [CPUFeatures.Entry]
    ) -> [String] {
        var missing: [String] = []
        let maker = { (entries: [CPUFeatures.Entry]) in
            entries.first { $0.function == 0 }.map { [$0.ebx, $0.ecx, $0.edx] }
        }
        if maker(shown) != maker(host) { missing.append("the same maker") }
        for place in bits {
            let wanted = value(place, in: shown)
            let lacking = wanted & ~value(place, in: host)
            for bit in 0..<32 where lacking >> UInt32(bit) & 1 != 0 {
                missing.append(
                    "cpuid 0x\(String(place.function, radix: 16)).\(place.index)"
                        + " \(place.register) bit \(bit)")
            }
        }
        return missing
    }

    private static func value(
        _ place: (function: UInt32, index: UInt32, register: String),
        in entries: [CPUFeatures.Entry]
    ) -> UInt32 {
        let entry = entries.first { $0.function == place.function && $0.index == place.index }
        return switch place.register {
        case "eax": entry?.eax ?? 0
        case "ebx": entry?.ebx ?? 0
        case "ecx": entry?.ecx ?? 0
        default: entry?.edx ?? 0
        }
    }
}
