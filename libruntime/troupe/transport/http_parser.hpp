#pragma once
#include <memory>
#include <span>
#include <troupe/base/bytes.hpp>
#include <troupe/base/limits.hpp>
#include <troupe/transport/http_message.hpp>

namespace troupe::transport {

/// Takes one HTTP/1.1 message apart. No I/O, bounded memory: the header's limit and what the caller hands in. Behind it
/// is Beast, in one source file.
class http_parser {
 public:
  enum class role { request, response };
  /// `answers_head`: a response to a HEAD has no body, whatever it claims.
  explicit http_parser(role what, std::size_t header_bytes_max = limits::http_header_bytes_max,
                       bool answers_head = false);
  ~http_parser();
  http_parser(http_parser&&) noexcept;
  http_parser& operator=(http_parser&&) noexcept;

  /// Takes bytes until the header is complete. How many it used; the rest is to be handed in again, with what follows.
  /// `invalid_argument` for what is not HTTP, `resource_exhausted` for a header above the limit.
  result<std::size_t> put_header(bytes_view in);
  [[nodiscard]] bool header_done() const noexcept;
  /// Valid once header_done().
  [[nodiscard]] const http_head& head() const noexcept;

  struct step {
    std::size_t consumed = 0;
    std::size_t produced = 0;
  };
  /// Decodes some of the body from `in` into `out`. Neither consumed nor produced: it needs more input, or body_done().
  result<step> decode_body(bytes_view in, std::span<char> out);
  [[nodiscard]] bool body_done() const noexcept;
  /// The peer has ended its side: the end of a body without a length, an error for any other unfinished message.
  result<void> put_eof();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace troupe::transport
