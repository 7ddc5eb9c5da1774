#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <troupe/sdk.hpp>

/// What a task of somebody else's code reaches of the machine it runs on: emits a word for each try and what became of
/// it.
struct try_everything : troupe::mapper<std::string_view, std::string_view, std::string_view> {
  void map(std::string_view, emitter& emit) {
    const auto outcome = [](bool good) { return good ? std::string("possible") : std::string(std::strerror(errno)); };
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    emit("socket", outcome(fd >= 0));
    if (fd >= 0) ::close(fd);
    const auto parent = "/proc/" + std::to_string(::getppid());
    const int memory = ::open((parent + "/mem").c_str(), O_RDONLY | O_CLOEXEC);
    emit("memory of the node", outcome(memory >= 0));
    if (memory >= 0) ::close(memory);
    emit("signal to the node", outcome(::kill(::getppid(), 0) == 0));
  }
};

TROUPE_JOB(look_around, troupe::read_lines() | troupe::map<try_everything>() | troupe::write("what", "outcome"));
