#include "remote_copy.hpp"

#include "bulk.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace gorgone::proxy {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Read and not yet confirmed by the receiver.
constexpr std::uint64_t window_bytes = std::uint64_t{1200} << 10;
constexpr std::size_t window_pieces_min = 2;
// The receiver may have to write all of it once more, and sync it, or unpack it.
constexpr auto end_awaited = 30min;
constexpr auto piece_awaited = 20s;
// Of a deployed node behind another rows may be lost; then it goes on slowly.
constexpr auto row_awaited = 10s;
constexpr auto ask_every = 250ms;
// Refusals of a moment, by whoever is on the way.
bool is_passing(std::string_view error) {
  return is_refused_for_now(error) || error == "unreachable" || error == "unknown_target" || error == "no_proxy" || error == "again";
}

std::string message_of(const json::value& data) { return text_of(member(data, "message")).value_or(to_text(data)); }

}  // namespace

RemoteCopy::RemoteCopy(Agent& agent, CopyWays& ways, CopyOrder order, const std::string& job_token, std::string target, CopyWay way,
                       std::size_t piece_bytes, std::chrono::milliseconds end_repeated)
    : agent_(agent),
      ways_(ways),
      order_(std::move(order)),
      token_(token_of_try(job_token)),
      target_(std::move(target)),
      way_(std::move(way)),
      piece_bytes_(piece_bytes),
      end_repeated_(end_repeated),
      wake_(agent.loop()),
      advanced_at_(Clock::now()) {}

RemoteCopy::~RemoteCopy() = default;

asio::awaitable<RemoteCopy::Outcome> RemoteCopy::run() {
  watch_ = agent_.journal().watch(token_, [this](const HistoryRow& row) { on_row(row); });
  auto open = [order = order_, bytes = piece_bytes_]() -> Result<std::shared_ptr<CopyPacker>> {
    auto packer = CopyPacker::open(order, bytes);
    if (!packer) return packer.error();
    return std::shared_ptr<CopyPacker>(std::move(*packer));
  };
  auto packer = co_await agent_.blocking(std::move(open));
  if (packer)
    packer_ = std::move(*packer);
  else
    end(Outcome{Outcome::Kind::failed, packer.error(), {}});
  while (!outcome_) {
    if (has_room())
      co_await send_next();
    else
      co_await pause();
    if (!outcome_) look_at_clock();
  }
  watch_.reset();
  if (!is_stopped_) clean_up();
  co_return std::move(*outcome_);
}

void RemoteCopy::clean_up() {
  ways_.withdraw(way_, token_);
  // Whoever has ended it himself has cleaned up; a link that is down takes nothing, and the next try does it.
  if (is_ended_there_ || sent_ == 0) return;
  (void)ways_.send_piece(way_, Message{"PROCESSCOPY", token_, way_.target, Payload(packer_->abandonment()), {}});
}

bool RemoteCopy::has_room() const {
  if (is_all_sent_) return false;
  const auto least = window_pieces_min * piece_bytes_;
  if (way_.pace == Pace::answers) return unanswered_ < std::max<std::uint64_t>(window_bytes, least) / piece_bytes_;
  return sent_ - confirmed_ < std::max<std::uint64_t>(window_bytes, least);
}

asio::awaitable<void> RemoteCopy::send_next() {
  auto read = [packer = packer_] { return packer->next(); };
  auto piece = co_await agent_.blocking(std::move(read));
  if (outcome_) co_return;
  if (!piece) {
    const bool may_change = piece.error().code == "changed";
    end(Outcome{may_change ? Outcome::Kind::again : Outcome::Kind::failed, piece.error(), {}});
    co_return;
  }
  progress_ = Progress{piece->done, piece->total};
  if (on_progress) on_progress();
  sent_ = piece->sent;
  is_all_sent_ = piece->is_last;
  if (is_all_sent_ || unanswered_ == 0) advanced_at_ = Clock::now();
  ++unanswered_;
  if (is_all_sent_) end_ = piece->data;
  auto sent = ways_.send_piece(way_, Message{"PROCESSCOPY", token_, way_.target, Payload(std::move(piece->data)), {}});
  if (!sent) end(Outcome{Outcome::Kind::again, sent.error(), {}});
}

asio::awaitable<void> RemoteCopy::pause() {
  const bool asks = way_.pace == Pace::polled || (way_.pace == Pace::answers && is_all_sent_);
  const auto now = Clock::now();
  if (asks && now - asked_at_ >= ask_every) {
    asked_at_ = now;
    ways_.fetch_log(target_);
  }
  wake_.expires_after(asks ? Clock::duration(ask_every) : Clock::duration(1s));
  boost::system::error_code woken;
  co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  // Woken by something new, or the module stops.
  const auto cancelled = (co_await asio::this_coro::cancellation_state).cancelled();
  if (cancelled != asio::cancellation_type::none) stop();
}

void RemoteCopy::look_at_clock() {
  const auto waited = Clock::now() - advanced_at_;
  if (is_all_sent_) {
    if (waited >= end_awaited)
      end(Outcome{Outcome::Kind::again, Error{"the receiver did not say within 30 minutes whether all is well", ""}, {}});
    else
      repeat_end();
    return;
  }
  if (has_room()) return;
  if (way_.pace == Pace::polled && waited >= row_awaited) {
    confirmed_ = sent_;
    advanced();
  }
  if (waited >= piece_awaited)
    end(Outcome{Outcome::Kind::again, Error{fmt::format("nothing more has arrived for {} s", piece_awaited.count()), ""}, {}});
}

// A receiver behind others that was restarted with the last piece in its hands says nothing by itself. One that works on it passes over
// the second one, and one that has nothing of the copy asks for all of it. (A deployed one would take it for another copy.)
void RemoteCopy::repeat_end() {
  if (way_.pace != Pace::rows || way_.target.empty() || Clock::now() - std::max(advanced_at_, asked_at_) < end_repeated_) return;
  asked_at_ = Clock::now();
  if (ways_.send_piece(way_, Message{"PROCESSCOPY", token_, way_.target, Payload(end_), {}})) ++unanswered_;
}

void RemoteCopy::answered(const Result<void>& outcome) {
  if (unanswered_ > 0) --unanswered_;
  if (outcome) {
    if (way_.pace == Pace::answers) advanced();
    return;
  }
  const bool passes = is_passing(outcome.error().code);
  end(Outcome{passes ? Outcome::Kind::again : Outcome::Kind::failed, outcome.error(), {}});
}

void RemoteCopy::on_row(const HistoryRow& row) {
  const auto data = parse_json(row.data);
  if (!data || outcome_) return;
  if (row.code == code::copy_chunk) return on_chunk_row(*data);
  is_ended_there_ = row.code == code::finished || row.code == code::failed;
  if (row.code == code::finished) {
    Outcome outcome{Outcome::Kind::finished, Error{"", ""}, {}};
    if (const auto* list = member(*data, "warnings"); list && list->is_array()) outcome.warnings = list->get_array();
    return end(std::move(outcome));
  }
  if (row.code != code::failed) return;
  Error why{message_of(*data), text_of(member(*data, "error")).value_or("")};
  if (why.message.find("md5 does not match") != std::string::npos) why.code = "content";
  const bool passes = why.code == "content" || is_passing(why.code);
  end(Outcome{passes ? Outcome::Kind::again : Outcome::Kind::failed, std::move(why), {}});
}

void RemoteCopy::on_chunk_row(const json::value& data) {
  const auto bytes = integer_of(member(data, "bytes"));
  const auto arrived = bytes ? static_cast<std::uint64_t>(std::max<std::int64_t>(0, *bytes)) : confirmed_ + piece_bytes_;
  if (arrived <= confirmed_) return;
  confirmed_ = std::min(arrived, sent_);
  advanced();
}

void RemoteCopy::advanced() {
  advanced_at_ = Clock::now();
  wake_.cancel();
}

void RemoteCopy::interrupt(Error why) { end(Outcome{Outcome::Kind::again, std::move(why), {}}); }

void RemoteCopy::stop() {
  is_stopped_ = true;
  end(Outcome{});
}

void RemoteCopy::end(Outcome outcome) {
  if (!outcome_) outcome_ = std::move(outcome);
  wake_.cancel();
}

}  // namespace gorgone::proxy
