#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <troupe/security/confine.hpp>
#include <vector>

namespace troupe::security {

namespace {

#if defined(__x86_64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_X86_64;
constexpr std::uint32_t foreign_calls = 0x40000000;  ///< x32's numbers, which the same processes may use
#elif defined(__aarch64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_AARCH64;
constexpr std::uint32_t foreign_calls = 0xffffffff;
#else
constexpr std::uint32_t architecture = 0;
constexpr std::uint32_t foreign_calls = 0xffffffff;
#endif

constexpr std::array always_refused = std::to_array<std::uint32_t>(
    {SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_bpf, SYS_perf_event_open, SYS_keyctl,
     SYS_add_key, SYS_request_key, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_unshare, SYS_setns, SYS_userfaultfd,
     SYS_init_module, SYS_kexec_load, SYS_tkill,
     // What it begins stays in its process group, which ends with it.
     SYS_setsid, SYS_setpgid,
     // The same number on all processors: io_uring_setup, pidfd_getfd, pidfd_send_signal, and the newer ways to mount.
     425, 438, 424, 428, 429, 430, 431, 432, 433, 442});
/// Whose first argument names a process: this one only (the node that began it is of the same user).
constexpr std::array<std::uint32_t, 5> own_process_only{SYS_kill, SYS_tgkill, SYS_rt_sigqueueinfo,
                                                        SYS_rt_tgsigqueueinfo, SYS_prlimit64};
constexpr std::array<std::uint32_t, 4> network_calls{SYS_socket, SYS_connect, SYS_bind, SYS_listen};
constexpr std::uint32_t clone3_call = 435;  ///< its flags lie in memory, where a filter cannot look

/// A call that is refused when an argument, seen through the mask, is one of the values.
struct refused_argument {
  std::uint32_t call;
  std::size_t argument;
  std::uint32_t mask;
  std::array<std::uint32_t, 3> values;  ///< the last one repeated where there are fewer
  bool only_without_network = false;
};
constexpr std::uint32_t whole = 0xffffffff;
constexpr std::array refused_arguments = std::to_array<refused_argument>({
    // Signals by way of a descriptor's owner.
    {SYS_fcntl, 1, whole, {F_SETOWN, F_SETSIG, F_SETOWN_EX}},
    {SYS_ioctl, 1, whole, {FIOSETOWN, SIOCSPGRP, SIOCSPGRP}},
    // Memory that no limit of the process counts.
    {SYS_mmap,
     3,
     MAP_SHARED | MAP_ANONYMOUS,
     {MAP_SHARED | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS}},
    // These may be sent from to any address.
    {SYS_socketpair, 1, 0xf, {SOCK_DGRAM, SOCK_DGRAM, SOCK_DGRAM}, true},
});
constexpr std::uint32_t namespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

}  // namespace

result<void> confine_process(bool network) {
  if (architecture == 0) return error{errc::unsupported, "no filter of system calls is known for this processor"};
  std::vector<std::uint32_t> refused(always_refused.begin(), always_refused.end());
  if (!network) refused.insert(refused.end(), network_calls.begin(), network_calls.end());

  const auto load = [](std::size_t at) {
    return sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<std::uint32_t>(at)};
  };
  const auto when = [](std::uint16_t how, std::uint32_t value, std::uint8_t skip_if, std::uint8_t skip_else) {
    return sock_filter{static_cast<std::uint16_t>(BPF_JMP | how | BPF_K), skip_if, skip_else, value};
  };
  const auto answer = [](std::uint32_t what) { return sock_filter{BPF_RET | BPF_K, 0, 0, what}; };
  std::vector<sock_filter> program;
  program.push_back(load(offsetof(seccomp_data, arch)));
  program.push_back(when(BPF_JEQ, architecture, 1, 0));
  program.push_back(answer(SECCOMP_RET_KILL_PROCESS));
  program.push_back(load(offsetof(seccomp_data, nr)));
  program.push_back(when(BPF_JGE, foreign_calls, 0, 1));
  program.push_back(answer(SECCOMP_RET_KILL_PROCESS));
  for (const auto call : refused) {
    program.push_back(when(BPF_JEQ, call, 0, 1));
    program.push_back(answer(SECCOMP_RET_ERRNO | EPERM));
  }
  const auto self = static_cast<std::uint32_t>(::getpid());
  for (const auto call : own_process_only) {
    program.push_back(when(BPF_JEQ, call, 0, 5));
    program.push_back(load(offsetof(seccomp_data, args)));  // the lower half, where the kernel looks for a pid
    program.push_back(when(BPF_JEQ, self, 2, 0));
    program.push_back(when(BPF_JEQ, 0, call == SYS_prlimit64 ? 1 : 0, 0));  // 0 is this process; of kill, its group
    program.push_back(answer(SECCOMP_RET_ERRNO | EPERM));
    program.push_back(answer(SECCOMP_RET_ALLOW));
  }
  for (const auto& r : refused_arguments) {
    if (r.only_without_network && network) continue;
    program.push_back(when(BPF_JEQ, r.call, 0, 7));
    program.push_back(load(offsetof(seccomp_data, args) + r.argument * sizeof(std::uint64_t)));
    program.push_back(sock_filter{BPF_ALU | BPF_AND | BPF_K, 0, 0, r.mask});
    program.push_back(when(BPF_JEQ, r.values[0], 2, 0));
    program.push_back(when(BPF_JEQ, r.values[1], 1, 0));
    program.push_back(when(BPF_JEQ, r.values[2], 0, 1));
    program.push_back(answer(SECCOMP_RET_ERRNO | EPERM));
    program.push_back(answer(SECCOMP_RET_ALLOW));
  }
  // Another's priority: 0 is the caller's own.
  program.push_back(when(BPF_JEQ, SYS_setpriority, 0, 4));
  program.push_back(load(offsetof(seccomp_data, args) + sizeof(std::uint64_t)));
  program.push_back(when(BPF_JEQ, 0, 1, 0));
  program.push_back(answer(SECCOMP_RET_ERRNO | EPERM));
  program.push_back(answer(SECCOMP_RET_ALLOW));
  program.push_back(when(BPF_JEQ, SYS_clone, 0, 4));
  program.push_back(load(offsetof(seccomp_data, args)));
  program.push_back(when(BPF_JSET, namespaces, 0, 1));
  program.push_back(answer(SECCOMP_RET_ERRNO | EPERM));
  program.push_back(answer(SECCOMP_RET_ALLOW));
  program.push_back(when(BPF_JEQ, clone3_call, 0, 1));
  program.push_back(answer(SECCOMP_RET_ERRNO | ENOSYS));  // the C library then takes clone
  program.push_back(answer(SECCOMP_RET_ALLOW));
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
    return error{errc::unsupported, error::from_errno("prctl", "no_new_privs", errno).message()};
  const auto set = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
  if (set < 0)
    return error{errc::unsupported, error::from_errno("seccomp", "a filter of system calls", errno).message()};
  if (set > 0) return error{errc::unsupported, "a thread of this process has another filter of system calls"};
  return ok();
}

result<void> drop_powers() {
  // Which ones there are depends on the kernel; the first unknown one ends the list. Without CAP_SETPCAP the bounding
  // set stays, and counts for nothing, since no_new_privs is set before anything else runs.
  for (int power = 0; ::prctl(PR_CAPBSET_READ, power, 0, 0, 0) >= 0; ++power)
    (void)::prctl(PR_CAPBSET_DROP, power, 0, 0, 0);
  (void)::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
  if (::syscall(SYS_capset, &header, none.data()) != 0) return error::from_errno("capset", "to nothing", errno);
  return ok();
}

result<void> keep_memory_private() {
  // Not RLIMIT_CORE: where core_pattern is a pipe, the kernel takes no notice of it (core(5)).
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return error::from_errno("prctl", "dumpable", errno);
  return ok();
}

}  // namespace troupe::security
