# SPDX-License-Identifier: Apache-2.0
# What the host, and programs of the host that look for a container, see of it besides its streams.

load lib

@test "a program that asks for more than the machine has ends like one that uses too much" {
	config '.linux.resources.memory = {limit: 67108864, swap: 67108864}'
	run_script 'cat /proc/sys/vm/overcommit_memory; exec dd if=/dev/zero of=/dev/null bs=512M count=1'
	expect_status 137
	expect_line 1
}

@test "a container that limits what can be asked for has its way" {
	config '.linux.sysctl = {"vm.overcommit_memory": "2"}'
	run_script 'cat /proc/sys/vm/overcommit_memory; dd if=/dev/zero of=/dev/null bs=4G count=1 2>/dev/null'
	expect_status 1
	expect_line 2
}
