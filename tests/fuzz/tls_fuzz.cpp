/// The first bytes of TLS on a node's port or from whoever a node dials, by somebody without any key: what OpenSSL
/// makes of them through tls_session, in pieces as a network gives them. The first byte of the input says which side is
/// tried, the second how it is cut.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>
#include <support/fuzz.hpp>
#include <troupe/security/authority.hpp>
#include <troupe/security/credentials.hpp>
#include <troupe/transport/tls_session.hpp>

namespace troupe::fuzz {
namespace {

using namespace transport;

constexpr std::int64_t day_s = 24 * 60 * 60;
constexpr std::size_t answer_bytes_max = 32 << 10;  ///< a flight with two certificates takes 2 KiB

std::shared_ptr<security::credentials> make_credentials() {
  const cluster_id cluster{uuid{{0xc1}}};
  const auto now = static_cast<std::int64_t>(std::time(nullptr));
  const auto authority = security::authority::create(cluster, {now - day_s, now + 400 * day_s}).value();
  const auto key = security::private_key::generate().value();
  const auto request = security::make_request(key).value();
  const auto mine =
      authority.sign(request, {cluster, member_id{uuid{{1}}}}, {now - day_s, now + 90 * day_s}, {"127.0.0.1"}).value();
  return security::credentials::make({mine.pem(), key.pem(), authority.own().pem()}, true).value();
}

const std::shared_ptr<security::credentials>& node() {
  static const auto made = make_credentials();
  return made;
}

/// A session, and the other end of its socket in our hands.
struct line {
  explicit line(tls_side side) {
    int pair[2];
    TROUPE_INVARIANT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0, "no socket pair");
    theirs = pair[0];
    ours = pair[1];
    session = tls_session::make(node()->context(), side, theirs).value();
  }
  ~line() {
    session.reset();
    ::close(theirs);
    if (ours >= 0) ::close(ours);
  }
  line(const line&) = delete;
  line& operator=(const line&) = delete;

  bytes take() const {
    bytes all;
    std::array<char, 4096> piece;
    for (;;) {
      const auto got = ::recv(ours, piece.data(), piece.size(), 0);
      if (got <= 0) return all;
      all.append(piece.data(), static_cast<std::size_t>(got));
    }
  }
  void give(bytes_view data) const {
    // Inputs are far smaller than the socket's buffer; what does not fit would only be lost.
    (void)::send(ours, data.data(), data.size(), MSG_NOSIGNAL);
  }

  int theirs = -1;
  int ours = -1;
  std::unique_ptr<tls_session> session;
};

bool fails(line& l, std::size_t& answered) {
  const auto step = l.session->shake();
  answered += l.take().size();
  TROUPE_INVARIANT(answered <= answer_bytes_max, "a long answer to a stranger");
  if (!step) {
    TROUPE_INVARIANT(!step.error().message().empty(), "refused without a word");
    return true;
  }
  TROUPE_INVARIANT(step->what != tls_session::progress::done, "a stranger without a key has shaken hands");
  return false;
}

}  // namespace

void one_input(bytes_view input) {
  if (input.size() < 2) return;
  const auto side = (input[0] & 1) == 0 ? tls_side::acceptor : tls_side::dialler;
  const std::size_t piece =
      static_cast<unsigned char>(input[1]) == 0 ? input.size() : static_cast<unsigned char>(input[1]);
  line l(side);
  std::size_t answered = 0;
  if (fails(l, answered)) return;
  for (auto rest = input.substr(2); !rest.empty(); rest.remove_prefix(std::min(piece, rest.size()))) {
    l.give(rest.substr(0, piece));
    if (fails(l, answered)) return;
  }
  // Whoever says no more and goes has shaken no hands either.
  ::close(std::exchange(l.ours, -1));
  TROUPE_INVARIANT(!l.session->shake(), "a handshake is done with nobody");
}

std::vector<bytes> seeds() {
  line dialler(tls_side::dialler), acceptor(tls_side::acceptor);
  (void)dialler.session->shake();
  const auto hello = dialler.take();
  acceptor.give(hello);
  (void)acceptor.session->shake();
  const auto flight = acceptor.take();
  dialler.give(flight);
  (void)dialler.session->shake();
  const auto finish = dialler.take();
  const bytes whole("\0\0", 2), cut("\0\x07", 2), answer("\1\0", 2), answer_cut("\1\x40", 2);
  const bytes alert("\x15\x03\x03\0\2\2\x28", 7), old_hello("\x16\x03\1\0\4\1\0\0\0", 9);
  return {whole + hello,       cut + hello,   whole + hello + finish, answer + flight,
          answer_cut + flight, whole + alert, answer + alert,         whole + old_hello};
}

/// OpenSSL's buffers of one session, and what it believes of a length: a certificate list of 100 KiB.
std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes, 2 << 20); }

}  // namespace troupe::fuzz
