// The kernel's interface to virtual machines: the structures, and what stands behind macros that
// Swift cannot import.
#ifndef ALCOVE_CKVM_H
#define ALCOVE_CKVM_H

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

/// Requests of `ioctl`.
enum {
    alcove_kvm_get_api_version = KVM_GET_API_VERSION,
    alcove_kvm_check_extension = KVM_CHECK_EXTENSION,
    alcove_kvm_create_vm = KVM_CREATE_VM,
    alcove_kvm_get_vcpu_mmap_size = KVM_GET_VCPU_MMAP_SIZE,
    alcove_kvm_get_supported_cpuid = KVM_GET_SUPPORTED_CPUID,
    alcove_kvm_set_user_memory_region = KVM_SET_USER_MEMORY_REGION,
    alcove_kvm_set_tss_address = KVM_SET_TSS_ADDR,
    alcove_kvm_set_identity_map_address = KVM_SET_IDENTITY_MAP_ADDR,
    alcove_kvm_create_irqchip = KVM_CREATE_IRQCHIP,
    alcove_kvm_create_pit2 = KVM_CREATE_PIT2,
    alcove_kvm_irqfd = KVM_IRQFD,
    alcove_kvm_ioeventfd = KVM_IOEVENTFD,
    alcove_kvm_create_vcpu = KVM_CREATE_VCPU,
    alcove_kvm_set_cpuid = KVM_SET_CPUID2,
    alcove_kvm_get_special_registers = KVM_GET_SREGS,
    alcove_kvm_set_special_registers = KVM_SET_SREGS,
    alcove_kvm_get_registers = KVM_GET_REGS,
    alcove_kvm_set_registers = KVM_SET_REGS,
    alcove_kvm_set_fpu = KVM_SET_FPU,
    alcove_kvm_set_msrs = KVM_SET_MSRS,
    alcove_kvm_get_lapic = KVM_GET_LAPIC,
    alcove_kvm_set_lapic = KVM_SET_LAPIC,
    alcove_kvm_set_signal_mask = KVM_SET_SIGNAL_MASK,
    alcove_kvm_clock_control = KVM_KVMCLOCK_CTRL,
    alcove_kvm_run = KVM_RUN,
    alcove_kvm_get_msr_index_list = KVM_GET_MSR_INDEX_LIST,
    alcove_kvm_get_msrs = KVM_GET_MSRS,
    alcove_kvm_get_run_state = KVM_GET_MP_STATE,
    alcove_kvm_set_run_state = KVM_SET_MP_STATE,
    alcove_kvm_get_xsave = KVM_GET_XSAVE,
    alcove_kvm_get_xsave2 = KVM_GET_XSAVE2,
    alcove_kvm_set_xsave = KVM_SET_XSAVE,
    alcove_kvm_get_xcrs = KVM_GET_XCRS,
    alcove_kvm_set_xcrs = KVM_SET_XCRS,
    alcove_kvm_get_debug_registers = KVM_GET_DEBUGREGS,
    alcove_kvm_set_debug_registers = KVM_SET_DEBUGREGS,
    alcove_kvm_get_events = KVM_GET_VCPU_EVENTS,
    alcove_kvm_set_events = KVM_SET_VCPU_EVENTS,
    alcove_kvm_get_tsc_rate = KVM_GET_TSC_KHZ,
    alcove_kvm_set_tsc_rate = KVM_SET_TSC_KHZ,
    alcove_kvm_get_irqchip = KVM_GET_IRQCHIP,
    alcove_kvm_set_irqchip = KVM_SET_IRQCHIP,
    alcove_kvm_get_pit = KVM_GET_PIT2,
    alcove_kvm_set_pit = KVM_SET_PIT2,
    alcove_kvm_get_clock = KVM_GET_CLOCK,
    alcove_kvm_set_clock = KVM_SET_CLOCK,
};

/// Where the fields are in the page that the kernel shares for each virtual CPU.
enum {
    alcove_kvm_run_immediate_exit = offsetof(struct kvm_run, immediate_exit),
    alcove_kvm_run_exit_reason = offsetof(struct kvm_run, exit_reason),
    alcove_kvm_run_io_direction = offsetof(struct kvm_run, io.direction),
    alcove_kvm_run_io_size = offsetof(struct kvm_run, io.size),
    alcove_kvm_run_io_port = offsetof(struct kvm_run, io.port),
    alcove_kvm_run_io_count = offsetof(struct kvm_run, io.count),
    alcove_kvm_run_io_data = offsetof(struct kvm_run, io.data_offset),
    alcove_kvm_run_mmio_address = offsetof(struct kvm_run, mmio.phys_addr),
    alcove_kvm_run_mmio_data = offsetof(struct kvm_run, mmio.data),
    alcove_kvm_run_mmio_count = offsetof(struct kvm_run, mmio.len),
    alcove_kvm_run_mmio_is_write = offsetof(struct kvm_run, mmio.is_write),
    alcove_kvm_run_entry_failure =
        offsetof(struct kvm_run, fail_entry.hardware_entry_failure_reason),
    alcove_kvm_run_internal_error = offsetof(struct kvm_run, internal.suberror),
    alcove_kvm_run_event = offsetof(struct kvm_run, system_event.type),
};

/// `struct kvm_cpuid2`: the count of entries, padding, the entries.
enum {
    alcove_kvm_cpuid_entries = offsetof(struct kvm_cpuid2, entries),
    alcove_kvm_cpuid_entry_size = sizeof(struct kvm_cpuid_entry2),
};

/// `struct kvm_msrs` with room for a few.
struct alcove_kvm_msrs {
    struct {
        uint32_t count;
        uint32_t padding;
    } head;
    struct kvm_msr_entry entries[8];
};

/// Sizes of what is saved of a virtual CPU and of a machine.
enum {
    alcove_kvm_registers_size = sizeof(struct kvm_regs),
    alcove_kvm_special_registers_size = sizeof(struct kvm_sregs),
    alcove_kvm_run_state_size = sizeof(struct kvm_mp_state),
    alcove_kvm_xsave_size = sizeof(struct kvm_xsave),
    alcove_kvm_xcrs_size = sizeof(struct kvm_xcrs),
    alcove_kvm_debug_registers_size = sizeof(struct kvm_debugregs),
    alcove_kvm_lapic_size = sizeof(struct kvm_lapic_state),
    alcove_kvm_events_size = sizeof(struct kvm_vcpu_events),
    alcove_kvm_irqchip_size = sizeof(struct kvm_irqchip),
    alcove_kvm_pit_size = sizeof(struct kvm_pit_state2),
    alcove_kvm_clock_size = sizeof(struct kvm_clock_data),
};

/// `struct kvm_signal_mask` with the kernel's set of signals.
struct alcove_kvm_signal_mask {
    uint32_t size;
    uint8_t set[8];
};

#endif
