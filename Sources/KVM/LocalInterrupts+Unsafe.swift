internal import CKVM

extension VirtualCPU {
    /// Sets a register of a local interrupt controller by its offset.
    static func set(_ state: inout kvm_lapic_state, _ offset: Int, _ value: UInt32) {
        precondition(
            offset >= 0 && offset + 4 <= MemoryLayout<kvm_lapic_state>.size,
            "a register of the controller")
        // SAFETY: within the structure, as checked above, which holds plain bytes.
        unsafe withUnsafeMutableBytes(of: &state) { bytes in
            unsafe bytes.storeBytes(of: value, toByteOffset: offset, as: UInt32.self)
        }
    }
}
