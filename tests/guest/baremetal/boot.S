/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Entry of the bare-metal test guest: QEMU's PVH loader leaves us in 32-bit
 * protected mode; we go to long mode and then to ring 3 at once, because on a
 * KVM without hardware virtualisation ring 0 is emulated one instruction at a
 * time while ring 3 runs natively. All tables are assembled, not computed, so
 * ring 0 executes only a few dozen instructions.
 *
 * `sysexit` is the way out of ring 0 because such a KVM does not emulate iretq.
 * TCG allows it in long mode only for a CPU whose vendor is GenuineIntel.
 */

        .set MSR_SYSENTER_CS, 0x174
        .set MSR_EFER, 0xc0000080
        .set TRAMPOLINE, 0x8000         /* below 1 MiB: start-up IPI vector 8 */
        .set STACK_BYTES, 16384

        .section .note.pvh, "a", @note
        .align 4
        .long 4, 8, 18                  /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz "Xen"
        .quad start32

        .text
        .code32
        .globl start32
start32:
        cli
        movl %ebx, start_info
        lgdt gdt_pointer
        movl %cr4, %eax
        orl $0x620, %eax                /* PAE, OSFXSR, OSXMMEXCPT */
        movl %eax, %cr4
        movl $pml4, %eax
        movl %eax, %cr3
        movl $MSR_EFER, %ecx
        rdmsr
        orl $0x100, %eax                /* LME */
        wrmsr
        movl %cr0, %eax
        orl $0x80000001, %eax           /* PG, PE */
        movl %eax, %cr0
        ljmp $0x08, $enter_ring3

        .code64
/* Both the boot CPU and the second one arrive here, in long mode ring 0. */
enter_ring3:
        movl $MSR_SYSENTER_CS, %ecx
        movl $0x08, %eax                /* ring 3: CS 0x28, SS 0x30 */
        xorl %edx, %edx
        wrmsr
        movl $1, %edi
        lock xaddl %edi, cpus_started   /* edi: this CPU's number */
        movl %edi, %eax
        incl %eax
        imull $STACK_BYTES, %eax
        leal stacks(%eax), %esp
        pushq $0x3002                   /* IOPL 3, interrupts off */
        popfq
        movl %esp, %ecx
        movl $ring3, %edx
        rex.w sysexit

ring3:
        andq $-16, %rsp
        callq guest_main
1:      pause
        jmp 1b

/* Copied to TRAMPOLINE by guest_main; runs in real mode with CS = 0x800. */
        .code16
        .globl trampoline, trampoline_end
trampoline:
        cli
        xorw %ax, %ax
        movw %ax, %ds
        lgdtl TRAMPOLINE + (trampoline_gdt - trampoline)
        movl %cr0, %eax
        orl $1, %eax
        movl %eax, %cr0
        ljmpl $0x38, $ap_start32
trampoline_gdt:
        .word gdt_end - gdt - 1
        .long gdt
trampoline_end:

        .code32
ap_start32:
        movw $0x10, %ax
        movw %ax, %ds
        movw %ax, %ss
        movl %cr4, %eax
        orl $0x620, %eax
        movl %eax, %cr4
        movl $pml4, %eax
        movl %eax, %cr3
        movl $MSR_EFER, %ecx
        rdmsr
        orl $0x100, %eax
        wrmsr
        movl %cr0, %eax
        orl $0x80000001, %eax
        movl %eax, %cr0
        ljmp $0x08, $enter_ring3

        .data
        .align 16
gdt:
        .quad 0
        .quad 0x00af9b000000ffff        /* 08 ring 0 code, 64 bit */
        .quad 0x00cf93000000ffff        /* 10 ring 0 data */
        .quad 0x00cffb000000ffff        /* 18 ring 3 code, 32 bit */
        .quad 0x00cff3000000ffff        /* 20 ring 3 data */
        .quad 0x00affb000000ffff        /* 28 ring 3 code, 64 bit */
        .quad 0x00cff3000000ffff        /* 30 ring 3 data */
        .quad 0x00cf9b000000ffff        /* 38 ring 0 code, 32 bit */
gdt_end:
gdt_pointer:
        .word gdt_end - gdt - 1
        .long gdt
        .globl start_info
        .align 8
start_info:
        .quad 0
        .globl cpus_started
cpus_started:
        .long 0

/* 4 GiB mapped one to one with 2 MiB user pages (present, write, user). */
        .align 4096
pml4:
        .quad pdpt + 7
        .fill 511, 8, 0
pdpt:
        .quad page_dirs + 7, page_dirs + 0x1007, page_dirs + 0x2007, page_dirs + 0x3007
        .fill 508, 8, 0
page_dirs:
        .set address, 0
        .rept 2048
        .quad address + 0x87
        .set address, address + 0x200000
        .endr

        .bss
        .align 16
stacks:
        .skip STACK_BYTES * 8
        .section .note.GNU-stack, "", @progbits
