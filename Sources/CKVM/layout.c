#include "CKVM.h"

// Part of the kernel's binary interface: what Swift reads by offset stays where it is.
_Static_assert(alcove_kvm_run_exit_reason == 8, "struct kvm_run");
_Static_assert(alcove_kvm_run_io_port == 34, "struct kvm_run");
_Static_assert(alcove_kvm_run_mmio_data == 40, "struct kvm_run");
_Static_assert(alcove_kvm_cpuid_entries == 8, "struct kvm_cpuid2");
_Static_assert(alcove_kvm_cpuid_entry_size == 40, "struct kvm_cpuid_entry2");
_Static_assert(sizeof(struct kvm_regs) == 144, "struct kvm_regs");
_Static_assert(sizeof(struct kvm_sregs) == 312, "struct kvm_sregs");
_Static_assert(offsetof(struct alcove_kvm_msrs, entries) == sizeof(struct kvm_msrs),
               "struct kvm_msrs");
_Static_assert(offsetof(struct alcove_kvm_signal_mask, set) == sizeof(struct kvm_signal_mask),
               "struct kvm_signal_mask");

// What stands in the files of snapshots.
_Static_assert(sizeof(struct kvm_mp_state) == 4, "struct kvm_mp_state");
_Static_assert(sizeof(struct kvm_xsave) == 4096, "struct kvm_xsave");
_Static_assert(sizeof(struct kvm_xcrs) == 392, "struct kvm_xcrs");
_Static_assert(sizeof(struct kvm_debugregs) == 128, "struct kvm_debugregs");
_Static_assert(sizeof(struct kvm_lapic_state) == 1024, "struct kvm_lapic_state");
_Static_assert(sizeof(struct kvm_vcpu_events) == 64, "struct kvm_vcpu_events");
_Static_assert(sizeof(struct kvm_irqchip) == 520, "struct kvm_irqchip");
_Static_assert(sizeof(struct kvm_pit_state2) == 112, "struct kvm_pit_state2");
_Static_assert(sizeof(struct kvm_clock_data) == 48, "struct kvm_clock_data");
_Static_assert(sizeof(struct kvm_msr_entry) == 16, "struct kvm_msr_entry");
