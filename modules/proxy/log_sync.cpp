#include "log_sync.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace gorgone::proxy {
namespace {

constexpr double clock_difference_s = 60, clock_error_s_max = 86400;
constexpr std::int64_t held_s = 300;
// What a link brings is the answer, or something else: there is an end to it.
constexpr std::int64_t slow_answer_s_max = 900;
constexpr std::int64_t portion = 1000;
// Deployed daemons leave an answer lying inside until the next message comes: they are asked again, ever more slowly.
constexpr std::int64_t again_s = 1;
// The journal of each node, as the rows that were fetched last were of it.
constexpr const char* journals = "proxy.journal";
// A larger answer is parsed off the loop.
constexpr std::size_t large_answer = std::size_t{256} << 10;

double wall_now() {
  using namespace std::chrono;
  return duration<double>(system_clock::now().time_since_epoch()).count();
}

NewRow row_of(const json::value& remote) {
  NewRow row;
  row.token = text_of(member(remote, "token")).value_or("");
  row.code = static_cast<int>(integer_of(member(remote, "code")).value_or(0));
  row.etime = integer_of(member(remote, "etime")).value_or(0);
  row.instant = truth_of(member(remote, "instant"), false);
  const auto* data = member(remote, "data");
  row.data = data ? (data->is_string() ? std::string(data->get_string()) : to_text(*data)) : "{}";
  row.origin = text_of(member(remote, "origin")).value_or("");
  return row;
}

// Of a row that the node has written itself. In a journal of ours each row has a ctime of its own, which it keeps, as ids do not always;
// a deployed node may come to one twice, and sends both in one answer. The ctime is first, for an index in the order of time grows at its
// end. Deployed daemons and ours write five decimals; of a node that writes more, two rows may be alike in these.
std::string origin_of(const std::string& node, double ctime, std::size_t same) {
  if (ctime <= 0) return {};
  const int decimals = std::round(ctime * 1e5) / 1e5 == ctime ? 5 : 7;
  return same == 0 ? fmt::format("{:.{}f}/{}", ctime, decimals, node) : fmt::format("{:.{}f}/{}/{}", ctime, decimals, node, same);
}

}  // namespace

LogSync::LogSync(Agent& agent, std::string node, Limits limits, Send send, Flow flow)
    : agent_(agent), node_(std::move(node)), limits_(limits), send_(std::move(send)), flow_(std::move(flow)) {}

void LogSync::link_up(std::int64_t now) {
  is_up_ = true;
  is_caught_up_ = false;
  if (!question_) ask(now);
}

void LogSync::link_down(const std::string& why) {
  is_up_ = is_caught_up_ = false;
  if (question_) finish(Error{"the link to node '" + node_ + "' is down: " + why}, 0);
}

void LogSync::fetch(const std::string& subnode, Done done, std::int64_t now) {
  if (!is_up_) {
    if (done) done(Error{"the link to node '" + node_ + "' is down"});
    return;
  }
  // What the node has is here already.
  if (question_ && question_->is_held && subnode.empty()) {
    if (done) done({});
    return;
  }
  // What is under way may have been read before the row that is wished for was written: the next question is shared.
  auto& waiters = wishes_[subnode];
  if (done) waiters.push_back(std::move(done));
  if (!question_) return ask(now);
  if (!question_->is_held) return;
  // A question for a subnode takes the place of the one that is held; its answer brings all rows since.
  question_.reset();
  ask(now);
}

void LogSync::set_journal(const std::string& id) {
  if (id.empty()) return;
  if (journal_) return compare_journal(id);
  auto read = [this, id, alive = std::weak_ptr<bool>(alive_)](const Result<Kept>& kept) {
    if (alive.expired() || !kept) return;
    const auto found = kept->find(node_);
    if (!journal_) journal_ = found == kept->end() ? std::string() : found->second;
    compare_journal(id);
  };
  agent_.journal().kept(journals, std::move(read), KeptRange{node_, {}, 1});
}

void LogSync::compare_journal(const std::string& id) {
  const auto before = std::exchange(*journal_, id);
  if (before == id) return;
  auto keep = [&agent = agent_, node = node_, id](const Result<void>& outcome) {
    if (outcome) agent.journal().keep(journals, node, id);
  };
  if (before.empty()) return keep({});
  agent_.log().notice("node '{}' has a new journal: its history is fetched from the beginning", printable(node_));
  fetched_until_ = 0;
  is_from_the_beginning_ = true;
  agent_.journal().store_fetched(node_, 0, {}, std::move(keep));
  if (!question_ || question_->tokens.empty()) return;
  question_->tokens.clear();
  send_question();
}

// With a subnode as target the node fetches that one's log before it answers with its own.
void LogSync::ask(std::int64_t now) {
  question_.emplace();
  question_->number = ++questions_;
  question_->asked = now;
  question_->flow.ask(flow_());
  if (!wishes_.empty()) {
    auto wish = wishes_.extract(wishes_.begin());
    question_->subnode = wish.key();
    question_->waiters = std::move(wish.mapped());
  }
  question_->is_held = can_hold_ && is_caught_up_ && question_->waiters.empty() && question_->subnode.empty();
  question_->deadline = now + limits_.answer_s + (question_->is_held ? held_s : 0);
  question_->again = can_hold_ ? question_->deadline : now + again_s;
  next_ = now + limits_.every_s;
  if (is_storing_) return;  // how that ends says from where on to ask
  if (fetched_until_) return send_question();
  agent_.journal().fetched_until(node_, [this, number = questions_, alive = std::weak_ptr<bool>(alive_)](const Result<double>& ctime) {
    if (alive.expired() || !question_ || question_->number != number) return;
    if (!fetched_until_) fetched_until_ = !ctime ? 0 : can_hold_ ? *ctime : std::min(*ctime, wall_now() + clock_error_s_max);
    send_question();
  });
}

void LogSync::send_question() {
  question_->tokens.push_back(new_token());
  json::object filter{{"ctime", *fetched_until_}};
  if (can_hold_) filter["portion"] = portion;
  if (can_hold_) filter["origins"] = true;
  if (question_->is_held) filter["wait"] = held_s;
  const Message message{"GETLOG", question_->tokens.back(), question_->subnode, Payload(json::value(std::move(filter)))};
  const auto sent = send_(message);
  if (!sent) finish(sent.error(), question_->asked);
}

bool LogSync::take_answer(const Message& message, std::int64_t now) {
  if (!question_ || message.token.empty() || std::ranges::count(question_->tokens, message.token) == 0) return false;
  // Until its rows are stored nothing is asked again, and no other answer is taken: it would bring the same rows.
  question_->tokens.clear();
  question_->again = question_->deadline;
  auto payload = std::make_shared<Payload>(message.data);
  auto read = [this, payload, now] {
    const auto parsed = payload->json();
    on_data(parsed ? member(**parsed, "data") : nullptr, now);
  };
  if (payload->text().size() < large_answer) {
    read();
    return true;
  }
  agent_.on_pool([this, payload, read, number = question_->number, alive = std::weak_ptr<bool>(alive_), &loop = agent_.loop()] {
    (void)payload->json();
    asio::post(loop, [this, read, number, alive] {
      if (!alive.expired() && question_ && question_->number == number) read();
    });
  });
  return true;
}

void LogSync::on_data(const json::value* data, std::int64_t now) {
  const auto* result = data ? member(*data, "result") : nullptr;
  if (!result || !result->is_array())
    return finish(Error{"node '" + node_ + "' sent no log" + (data ? ": " + printable(to_text(*data)) : "")}, now);
  const bool has_more = truth_of(member(*data, "more"), false);
  if (result->get_array().empty()) {
    // A node that answers a question it should hold, and has nothing to say, is not asked without end.
    if (question_->is_held && now < question_->asked + 1) can_hold_ = false;
    return finish({}, now);
  }
  store(result->get_array(), has_more, now);
}

void LogSync::store(const json::array& list, bool has_more, std::int64_t now) {
  std::vector<std::pair<double, const json::value*>> order;
  for (const auto& row : list) order.emplace_back(number_of(member(row, "ctime")).value_or(0), &row);
  // Deployed daemons send rows in the order of their ids as strings.
  std::stable_sort(order.begin(), order.end(), [](const auto& left, const auto& right) {
    if (left.first != right.first) return left.first < right.first;
    return integer_of(member(*left.second, "id")).value_or(0) < integer_of(member(*right.second, "id")).value_or(0);
  });
  // A clock that is wrong on the node must not hide what it writes when the clock is right again: rows from the far future do not count,
  // and may come again. In a journal of ours ctime never goes back, so there they count.
  const double now_here = wall_now();
  const double before = *fetched_until_;
  double newest = before, last = 0;
  std::size_t same = 0;  // rows of that ctime before
  std::vector<NewRow> rows;
  rows.reserve(order.size());
  for (const auto& [ctime, row] : order) {
    rows.push_back(row_of(*row));
    same = ctime == last ? same + 1 : 0;
    last = ctime;
    if (rows.back().origin.empty()) rows.back().origin = origin_of(node_, ctime, same);
    rows.back().unless_known = is_from_the_beginning_ || ctime > now_here + clock_difference_s;
    if (can_hold_ || ctime <= now_here + clock_error_s_max) newest = std::max(newest, ctime);
  }
  // Who says that there is more and tells nothing newer would be asked without end.
  has_more = has_more && newest > before;
  fetched_until_ = newest;
  is_storing_ = true;
  auto stored = [this, before, newest, has_more, now, number = question_->number,
                 alive = std::weak_ptr<bool>(alive_)](const Result<void>& outcome) {
    if (alive.expired()) return;
    is_storing_ = false;
    if (!outcome && fetched_until_ == newest) fetched_until_ = before;  // not where another journal has begun meanwhile
    // Deployed daemons above learn by this that there is something to fetch.
    json::object synclogs{{"data", json::object{{"id", agent_.node_id()}}}};
    if (outcome) agent_.tell_parents(Message{"SYNCLOGS", {}, {}, Payload(json::value(std::move(synclogs)))});
    if (question_ && question_->number == number)
      finish(outcome, now, has_more);
    else if (question_)
      send_question();
  };
  agent_.journal().store_fetched(node_, newest, std::move(rows), std::move(stored));
}

void LogSync::finish(const Result<void>& outcome, std::int64_t now, bool has_more) {
  if (!outcome) agent_.log().debug("log of node '{}' not fetched: {}", node_, outcome.error().message);
  auto waiters = std::move(question_->waiters);
  question_.reset();
  is_caught_up_ = outcome && !has_more;
  if (is_caught_up_) is_from_the_beginning_ = false;
  if (!is_up_)
    for (auto& [subnode, more] : std::exchange(wishes_, {}))
      waiters.insert(waiters.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  else if (has_more && outcome) {
    // What they wish for may be in the next portion, a subnode's too: the node has fetched it by now.
    auto& next = wishes_[{}];
    next.insert(next.end(), std::make_move_iterator(waiters.begin()), std::make_move_iterator(waiters.end()));
    waiters.clear();
  }
  if (is_up_ && (!wishes_.empty() || (can_hold_ && outcome))) ask(now);
  for (auto& waiter : waiters) waiter(outcome);
}

std::optional<std::int64_t> LogSync::deadline() const {
  if (question_) return std::min(question_->deadline, question_->again);
  if (is_up_) return next_;
  return {};
}

// An answer that is long on its way is not asked for again: all of it would come again, behind itself.
void LogSync::wait_for_what_comes(std::int64_t now) {
  if (now < std::min(question_->deadline, question_->again) || question_->tokens.empty()) return;
  if (now >= question_->asked + slow_answer_s_max || !question_->flow.moves(flow_())) return;
  question_->deadline = std::max(question_->deadline, now + limits_.answer_s);
  question_->again = can_hold_ ? question_->deadline : now + again_s;
}

void LogSync::on_clock(std::int64_t now) {
  if (question_) wait_for_what_comes(now);
  if (question_ && now >= question_->deadline)
    finish(Error{"node '" + node_ + "' did not send its log within " + std::to_string(limits_.answer_s) + " s"}, now);
  if (question_ && now >= question_->again) {
    question_->again = now + 2 * std::max(again_s, now - question_->asked);
    // Before the journal has said what is here already, nothing has been asked yet.
    if (fetched_until_ && !is_storing_) send_question();
  }
  if (is_up_ && !question_ && now >= next_) ask(now);
}

}  // namespace gorgone::proxy
