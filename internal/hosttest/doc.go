// Package hosttest tests ansible/host.sh, the script that make calls to set a machine up, in a made-up
// file system with made-up tools: what it says and does without root, on a system that is not Debian,
// when nothing is missing, and when everything is. It changes nothing on the machine it runs on, and says
// nothing about the Ansible roles themselves; .ci/run plays those for real.
package hosttest
