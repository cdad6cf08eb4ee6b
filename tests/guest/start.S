/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a PVH guest begins: flat 32-bit protected mode, paging off, EBX = hvm_start_info (Xen's PVH boot ABI). The
 * same image runs under any monitor that boots PVH. */
	.section .note.pvh, "a", @note
	.long 4, 4, 18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long _start

	.text
	.code32
	.globl _start
_start:
	movl $stack_top, %esp
	pushl %ebx
	call guest_main
	movl %eax, %ebx			/* main's answer is the exit code */
	movl $0x501, %edx
	movl %ebx, %eax
	outl %eax, %dx
1:	hlt
	jmp 1b

	/* An application processor's first instructions, copied to a page below 1 MiB by smp_start(). */
	.globl ap_trampoline, ap_trampoline_end
	.code16
ap_trampoline:
	cli
	xorw %ax, %ax
	movw %cs, %ax
	shll $4, %eax
	movl %eax, %ebx
	movw %cs, %ax
	movw %ax, %ds
	addl $(ap_gdt - ap_trampoline), %ebx
	movl %ebx, (ap_gdtr + 2 - ap_trampoline)
	lgdtl (ap_gdtr - ap_trampoline)
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $8, $ap_entry32
	.balign 8
ap_gdt:
	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
ap_gdtr:
	.word 23
	.long 0
ap_trampoline_end:

	.code32
ap_entry32:
	movw $16, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl $1, %eax
	lock xaddl %eax, ap_count
	shll $10, %eax			/* 1 KiB of stack each */
	leal ap_stacks + 1024(%eax), %esp
	call ap_main
1:	cli
	hlt
	jmp 1b

	/* Interrupt entries: vector 32 + n calls irq_handler(n). */
	.macro irq_entry n
	.balign 32
	pusha
	pushl $\n
	call irq_handler
	addl $4, %esp
	popa
	/* In place of IRET, which a KVM that emulates ring 0 may not know: the flags, then the return address; CS
	 * is the same. */
	pushl 8(%esp)
	popfl
	ret $8
	.endm
	.balign 32
	.globl irq_entries
irq_entries:
	.set n, 0
	.rept 32
	irq_entry n
	.set n, n + 1
	.endr
	/* An exception ends the guest with 0xee. */
	.globl exception_entry
	.balign 16
exception_entry:
	movl $0xee, %eax
	movl $0x501, %edx
	outl %eax, %dx
1:	hlt
	jmp 1b

	.weak ap_main

	.bss
	.balign 16
	.skip 8192
stack_top:
	.globl ap_count
ap_count:
	.long 0
	.balign 16
ap_stacks:
	.skip 1024 * 256

	.section .note.GNU-stack, "", @progbits
