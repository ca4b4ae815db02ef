/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the hostile guest begins: by the 64-bit boot protocol of Linux (our KVM engine), by PVH
 * (QEMU), or on a second processor that the first one woke. All end in C with 8 GiB mapped as they
 * are, the devices among them, and interrupts off for good: a fault ends the machine.
 */
#define CODE32 0x08
#define DATA   0x10
#define CODE64 0x18

	.section .note, "a", @note
	.align 4
	.long 4, 4, 18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long pvh_start

	/* A kernel has code in the upper half: by this it is told from a program for user space. */
	.section .high, "a"
	.quad 0

	.text
	.globl start
	.code64
start:					/* %rsi: boot parameters */
	cli
	cld
	mov $page_map, %rax
	mov %rax, %cr3
	mov $stack_top, %rsp
	mov $0, %edi
	call guest_main
	jmp .

	.code32
pvh_start:				/* %ebx: start info */
	cli
	cld
	mov $stack_top, %esp
	mov $guest_main, %ebp
	mov $1, %edi
	mov %ebx, %esi
	lgdtl gdt_pointer
	ljmpl $CODE32, $long_mode

ap_start32:
	mov $second_stack_top, %esp
	mov $guest_second, %ebp

/* %esp, %edi, %esi: for the function in %ebp */
long_mode:
	mov $DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %cr4, %eax
	or $0x20, %eax			/* PAE */
	mov %eax, %cr4
	mov $page_map, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx		/* EFER: long mode */
	rdmsr
	or $0x100, %eax
	wrmsr
	mov %cr0, %eax
	or $0x80000001, %eax
	mov %eax, %cr0
	ljmpl $CODE64, $1f
	.code64
1:	mov %ebp, %ebp
	mov %edi, %edi
	mov %esi, %esi
	call *%rbp
	jmp .

	/* Copied below 1 MiB: where a second processor begins, in real mode. */
	.globl ap_code, ap_code_end
	.code16
ap_code:
	cli
	cld
	mov %cs, %ax
	mov %ax, %ds
	lgdtl ap_gdt_pointer - ap_code
	mov %cr0, %eax
	or $1, %eax
	mov %eax, %cr0
	ljmpl $CODE32, $ap_protected
ap_gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt
ap_code_end:

	.code32
ap_protected:
	mov $DATA, %eax
	mov %eax, %ds
	jmp ap_start32

	.data
	.align 8
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff	/* CODE32 */
	.quad 0x00cf93000000ffff	/* DATA */
	.quad 0x00af9b000000ffff	/* CODE64 */
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt

	.align 4096
page_map:
	.quad page_map_1g + 3
	.fill 511, 8, 0
page_map_1g:
	.set table, 0
	.rept 8
	.quad page_map_2m + table * 4096 + 3
	.set table, table + 1
	.endr
	.fill 504, 8, 0
page_map_2m:
	.set page, 0
	.rept 8 * 512
	.quad page * 0x200000 + 0x83
	.set page, page + 1
	.endr

	.bss
	.align 16
	.skip 32768
stack_top:
	.skip 32768
second_stack_top:

	.section .note.GNU-stack, "", @progbits
