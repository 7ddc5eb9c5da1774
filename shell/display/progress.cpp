#include <shell/display/progress.hpp>

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <shell/display/table.hpp>
#include <shell/session.hpp>
#include <troupe/base/text.hpp>

namespace troupe::shell {

std::string rate_text(std::uint64_t bytes, double seconds) {
  return seconds > 0 ? ", " + format_bytes(static_cast<std::uint64_t>(static_cast<double>(bytes) / seconds)) + "/s"
                     : "";
}

using namespace std::chrono_literals;

progress::progress(session& s)
    : enabled_(s.settings.progress), terminal_(::isatty(STDERR_FILENO) == 1), next_(begun_ + 500ms) {}

progress::~progress() { clear(); }

bool progress::due() const { return enabled_ && clock::now() >= next_; }

void progress::show(const std::string& text) {
  if (!due()) return;
  if (!terminal_ && text == told_) return;
  next_ = clock::now() + (terminal_ ? 100ms : 10'000ms);
  if (!terminal_) {
    told_ = text;
    std::fprintf(stderr, "%s\n", text.c_str());
    return;
  }
  winsize size{};
  const std::size_t width = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79u;
  std::string fitting = text;
  while (display_width(fitting) > width) {
    // Whole characters: continuation bytes go with their lead.
    while (!fitting.empty() && (static_cast<unsigned char>(fitting.back()) & 0xc0) == 0x80) fitting.pop_back();
    if (!fitting.empty()) fitting.pop_back();
  }
  std::fprintf(stderr, "\r%s\033[K", fitting.c_str());
  std::fflush(stderr);
  visible_ = true;
}

void progress::clear() {
  if (!visible_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  visible_ = false;
}

double progress::seconds() const { return std::chrono::duration<double>(clock::now() - begun_).count(); }

std::string format_duration(double seconds) {
  char text[64];
  if (seconds < 1)
    std::snprintf(text, sizeof text, "%.0f ms", seconds * 1000);
  else if (seconds < 60)
    std::snprintf(text, sizeof text, "%.1f s", seconds);
  else
    std::snprintf(text, sizeof text, "%lld min %lld s", static_cast<long long>(seconds) / 60,
                  static_cast<long long>(seconds) % 60);
  return text;
}

std::string format_count(std::uint64_t count) {
  auto digits = std::to_string(count);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), 1, ',');  // of a text, g++ 12 warns that it may overlap itself
  return digits;
}

}  // namespace troupe::shell
