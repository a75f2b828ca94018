// Package pcivm proves the PCI path without a NIC: an emulated machine with an IOMMU and the NICs
// virtio-net, e1000e and vmxnet3, whose drivers are DPDK's own and whose registers behave as the real
// ones'. `make test-pci` boots it in seconds and needs no KVM, no disk image and no network.
//
//	host, in a sandbox                          guest (qemu, TCG)
//	test ── Wire ── tap ───────────────────── NIC ── vfio-pci ── dpdk.Port ── lane.Ingest, one a queue
//	     ── Machine.Ask ── second serial line ── guest's program
//
// [FetchKernel] unpacks Debian's kernel for virtual machines; [Image] packs an initramfs of the
// program in folder guest, ansible/library/nic_driver.py with this machine's Python and ip(8), and the
// libraries they need; [Boot] starts qemu and [Machine.Ask] talks to the guest, which loads modules,
// sets hugepages aside, runs the Ansible module, unchanged, to bind NICs to vfio-pci and back, and
// receives lanes from each as a replica's ingest cores do.
//
// The tests check the binding and its refusals, membership reports, filters, which queue each lane's
// packets take, counters and watermarks. They never measure time: an emulated core is 20 times slower.
//
// Seen here: virtio-net has no list of multicast addresses in DPDK, and vmxnet3 neither: both are
// opened to all multicast, dpdk.Info says so, and what comes in beside the group is counted as
// foreign. A lane's repairs are another flow than the lane: they take its queue only if their source
// port is chosen for it. A NIC that is stopped at once forgets what it was given to send.
//
// It does NOT run a whole replica, other NICs, or interrupts. Of these NICs only virtio-net spreads
// packets: DPDK's e1000e driver has two queues and no receive-side scaling (dpdk.Info says none),
// and qemu's vmxnet3 promises it and uses the first queue. None takes rules for flows (rte_flow); a tap of
// DPDK's does, which a cable in the guest joins to one more NIC: each lane comes out of the queue that its
// rule names.
package pcivm
