internal import GuestMemory

/// Registers by their offsets. Corresponds to `VIRTIO_MMIO_…`.
enum Register: UInt64 {
    case magic = 0x000
    case version = 0x004
    case deviceKind = 0x008
    case vendor = 0x00c
    case deviceFeatures = 0x010
    case deviceFeaturesSelect = 0x014
    case driverFeatures = 0x020
    case driverFeaturesSelect = 0x024
    case queueSelect = 0x030
    case queueSizeMost = 0x034
    case queueSize = 0x038
    case queueReady = 0x044
    case queueNotify = 0x050
    case interruptStatus = 0x060
    case interruptAcknowledge = 0x064
    case status = 0x070
    case descriptorsLow = 0x080
    case descriptorsHigh = 0x084
    case availableLow = 0x090
    case availableHigh = 0x094
    case usedLow = 0x0a0
    case usedHigh = 0x0a4
    case configurationGeneration = 0x0fc

    static let configuration: UInt64 = 0x100
}

/// What a driver has set up. Guarded by the transport's lock.
struct TransportState {
    /// `VIRTIO_CONFIG_S_…`
    enum Status {
        static let driverOK: UInt32 = 4
        static let featuresOK: UInt32 = 8
        static let needsReset: UInt32 = 64
        static let failed: UInt32 = 128
        static let known: UInt32 = 1 | 2 | driverOK | featuresOK | failed
    }

    /// `VIRTIO_F_VERSION_1`, without which there is nothing to talk about.
    private static let modern: UInt64 = 1 << 32
    /// `VIRTIO_RING_F_INDIRECT_DESC` and `VIRTIO_RING_F_EVENT_IDX`.
    private static let eventIndex: UInt64 = 1 << 29
    private static let standard: UInt64 = modern | 1 << 28 | eventIndex

    struct QueueSetting {
        let most: UInt16
        var isReady = false
        var layout: QueueLayout

        init(most: UInt16) {
            self.most = most
            let zero = GuestAddress(rawValue: 0)
            layout = QueueLayout(size: most, descriptors: zero, available: zero, used: zero)
        }
    }

    let device: any VirtioDevice
    /// While the device works.
    var link: DeviceLink?
    private(set) var failure: DeviceFault?
    var driverFeatures: UInt64 = 0
    var status: UInt32 = 0
    var deviceFeaturesSelect: UInt32 = 0
    var driverFeaturesSelect: UInt32 = 0
    var queueSelect: UInt32 = 0
    var queues: [QueueSetting]

    init(_ device: any VirtioDevice) {
        self.device = device
        queues = device.queueSizes.map { QueueSetting(most: $0) }
    }

    var offered: UInt64 { device.features | Self.standard }

    // MARK: - Reading

    func read(at offset: UInt64, count: Int) -> UInt64 {
        if offset >= Register.configuration {
            return configuration(at: Int(offset - Register.configuration), count: count)
        }
        guard count == 4, let register = Register(rawValue: offset) else { return 0 }
        switch register {
        case .magic: return 0x7472_6976
        case .version: return 2
        case .deviceKind: return UInt64(device.kind.rawValue)
        // "ALCV"
        case .vendor: return 0x5643_4c41
        case .deviceFeatures:
            return deviceFeaturesSelect < 2
                ? offered >> (UInt64(deviceFeaturesSelect) * 32) & 0xffff_ffff : 0
        case .queueSizeMost: return UInt64(selected?.most ?? 0)
        case .queueReady: return selected?.isReady == true ? 1 : 0
        case .status: return UInt64(status)
        case .deviceFeaturesSelect, .driverFeatures, .driverFeaturesSelect, .queueSelect,
            .queueSize, .queueNotify, .interruptStatus, .interruptAcknowledge, .descriptorsLow,
            .descriptorsHigh, .availableLow, .availableHigh, .usedLow, .usedHigh,
            .configurationGeneration:
            return 0
        }
    }

    private var selected: QueueSetting? {
        queueSelect < UInt32(queues.count) ? queues[Int(queueSelect)] : nil
    }

    private func configuration(at offset: Int, count: Int) -> UInt64 {
        let bytes = device.configuration
        var value: UInt64 = 0
        for index in 0..<min(count, 8) where offset + index < bytes.count {
            value |= UInt64(bytes[offset + index]) << UInt64(index * 8)
        }
        return value
    }

    // MARK: - Writing

    mutating func write(_ value: UInt64, at offset: UInt64, count: Int) throws(DeviceFault) {
        if offset >= Register.configuration {
            return try configure(value, at: Int(offset - Register.configuration), count: count)
        }
        guard count == 4, let register = Register(rawValue: offset) else { return }
        let word = UInt32(truncatingIfNeeded: value)
        switch register {
        case .deviceFeaturesSelect: deviceFeaturesSelect = word
        case .driverFeaturesSelect: driverFeaturesSelect = word
        case .driverFeatures: setFeatures(word)
        case .queueSelect: queueSelect = word
        case .queueSize, .queueReady, .descriptorsLow, .descriptorsHigh, .availableLow,
            .availableHigh, .usedLow, .usedHigh:
            setQueue(register, word)
        case .magic, .version, .deviceKind, .vendor, .deviceFeatures, .queueSizeMost,
            .queueNotify, .interruptStatus, .interruptAcknowledge, .status,
            .configurationGeneration:
            break
        }
    }

    private func configure(_ value: UInt64, at offset: Int, count: Int) throws(DeviceFault) {
        let size = device.configuration.count
        guard link != nil, offset + count <= size else { return }
        try device.configure(
            (0..<min(count, 8)).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) },
            at: offset)
    }

    private mutating func setFeatures(_ word: UInt32) {
        guard status & Status.featuresOK == 0, driverFeaturesSelect < 2 else { return }
        let shift = UInt64(driverFeaturesSelect) * 32
        driverFeatures &= ~(0xffff_ffff << shift)
        driverFeatures |= UInt64(word) << shift
    }

    private mutating func setQueue(_ register: Register, _ word: UInt32) {
        // A queue that works stays where it is until a reset.
        guard queueSelect < UInt32(queues.count), status & Status.driverOK == 0 else { return }
        let index = Int(queueSelect)
        func low(_ address: GuestAddress) -> GuestAddress {
            GuestAddress(rawValue: address.rawValue & ~0xffff_ffff | UInt64(word))
        }
        func high(_ address: GuestAddress) -> GuestAddress {
            GuestAddress(rawValue: address.rawValue & 0xffff_ffff | UInt64(word) << 32)
        }
        switch register {
        case .queueSize:
            // One that is more than what was offered is found when the queue is to work.
            queues[index].layout.size = UInt16(clamping: word)
        case .queueReady: queues[index].isReady = word & 1 != 0
        case .descriptorsLow:
            queues[index].layout.descriptors = low(queues[index].layout.descriptors)
        case .descriptorsHigh:
            queues[index].layout.descriptors = high(queues[index].layout.descriptors)
        case .availableLow: queues[index].layout.available = low(queues[index].layout.available)
        case .availableHigh: queues[index].layout.available = high(queues[index].layout.available)
        case .usedLow: queues[index].layout.used = low(queues[index].layout.used)
        case .usedHigh: queues[index].layout.used = high(queues[index].layout.used)
        default: break
        }
    }

    // MARK: - The life of the device

    /// Whether the device is to be started now.
    mutating func setStatus(_ value: UInt32, _ memory: GuestMemory) throws(DeviceFault) -> Bool {
        if value == 0 {
            reset()
            return false
        }
        // What is set stays set until a reset, and a device that failed takes nothing but that.
        var added = value & Status.known & ~status
        if status & Status.needsReset != 0 { return false }
        if added & Status.featuresOK != 0, !areFeaturesGood { added &= ~Status.featuresOK }
        status |= added
        let isWhole = status & Status.featuresOK != 0
        if added & Status.driverOK != 0, !isWhole {
            throw .badRequest("the driver began without having agreed on features")
        }
        return added & Status.driverOK != 0
    }

    private var areFeaturesGood: Bool {
        driverFeatures & ~offered == 0 && driverFeatures & Self.modern != 0
    }

    var usesEventIndex: Bool { driverFeatures & Self.eventIndex != 0 }

    func makeQueues(in memory: GuestMemory) throws(DeviceFault) -> [VirtQueue?] {
        var result: [VirtQueue?] = []
        for setting in queues {
            guard setting.isReady else {
                result.append(nil)
                continue
            }
            guard setting.layout.size <= setting.most else {
                throw .badQueueSize(setting.layout.size)
            }
            result.append(
                try VirtQueue(setting.layout, in: memory, usesEventIndex: usesEventIndex))
        }
        return result
    }

    private mutating func reset() {
        stop()
        status = 0
        driverFeatures = 0
        deviceFeaturesSelect = 0
        driverFeaturesSelect = 0
        queueSelect = 0
        queues = queues.map { QueueSetting(most: $0.most) }
    }

    private mutating func stop() {
        guard link != nil else { return }
        device.stop()
        link = nil
    }

    mutating func fail(_ fault: DeviceFault) {
        stop()
        status |= Status.needsReset
        failure = failure ?? fault
    }
}
