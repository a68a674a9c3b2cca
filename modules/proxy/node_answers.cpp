#include "node.hpp"

#include "bulk.hpp"
#include "clock.hpp"

#include <algorithm>
#include <iterator>

// What a node says: pongs, answers to what it was sent, and news of its own.

namespace gorgone::proxy {
namespace {

// "action 'X' is unknown" names X.
std::string unknown_action_of(const json::value& data) {
  const auto text = text_of(member(data, "message")).value_or("");
  const auto begin = text.find('\''), end = text.rfind('\'');
  return begin < end ? text.substr(begin + 1, end - begin - 1) : std::string();
}

// A node writes them down itself, a deployed one, too, and its row comes with its log.
bool is_in_its_log(const Message& answer) {
  return answer.action == "CONSTATUS" || answer.action == "INFORMATION" || answer.action == "GETTHUMBPRINT";
}

Result<void> outcome_of(const json::value& answer) {
  if (integer_of(member(answer, "code")).value_or(0) == code::begun) return {};
  const auto* data = member(answer, "data");
  auto text = [data](const char* name) { return data ? text_of(member(*data, name)).value_or("") : std::string(); };
  return Error{text("message"), text("error")};
}

}  // namespace

void Node::link_received(Message message) {
  message.origin = Origin{Origin::Kind::node, spec_.id};
  heard_ = now_s();
  // Deployed nodes that dial lose a pong now and then.
  if (!link_->answers_requests()) pings_.heard(heard_);
  if (message.action == "PONG") return on_pong(message);
  if (message.action == "REGISTERNODES" || message.action == "UNREGISTERNODES") return told_(spec_.id, message);
  if (message.action == "SYNCLOGS") return fetch_log({}, {});
  const auto question = std::ranges::find(questions_, message.token, [](const auto& asked) { return asked.first; });
  if (question != questions_.end()) {
    took_until(question->second);
    questions_.erase(questions_.begin(), std::next(question));
  }
  if (!log_.take_answer(message, now_s())) on_answer(message);
  flush();
  arm();
}

void Node::on_pong(const Message& pong) {
  if (const auto parsed = pong.data.json()) {
    const auto* data = member(**parsed, "data");
    if (const auto* nodes = data ? member(*data, "data") : nullptr; nodes && nodes->is_object()) subnodes_ = *nodes;
    features_.clear();
    if (const auto* list = data ? member(*data, "features") : nullptr; list && list->is_array())
      for (const auto& name : list->get_array())
        if (const auto text = text_of(&name)) features_.insert(*text);
    is_frame_max_fresh_ = true;
    frame_max_ =
        static_cast<std::size_t>(std::max<std::int64_t>(0, integer_of(data ? member(*data, "max_message_size") : nullptr).value_or(0)));
    log_.set_can_hold(features_.contains("log_wait"));
    link_->set_takes_raw(features_.contains("raw"));
    if (const auto journal = data ? text_of(member(*data, "journal")) : std::nullopt) log_.set_journal(*journal);
    const bool was_known = is_known_;
    become_known();
    const auto instance = data ? text_of(member(*data, "instance")).value_or("") : std::string();
    const bool is_another = was_known && !instance_.empty() && instance != instance_;
    if (is_another || !is_one_of_ours()) queue_.put_back_wrapped(is_another && is_one_of_ours());
    if (is_another) {
      // It has forgotten the question that it held, and what it had not written down.
      log_.link_down("its daemon was restarted");
      log_.link_up(now_s());
      was_ready_ = false;  // what it had of a file in its hands is gone
      bulk_.way_changed(spec_.id);
    }
    instance_ = instance;
  }
  if (pings_.pong(pong.token, now_s(), wall_s())) {
    took_until(pinged_sequence_);
    resend_if_lost();
  }
  told_(spec_.id, pong);
  tell_way();
  flush();
  arm();
}

void Node::on_answer(const Message& answer) {
  const auto parsed = answer.data.json();
  const auto* data = parsed ? member(**parsed, "data") : nullptr;
  const auto error = data ? text_of(member(*data, "error")).value_or("") : std::string();
  const bool is_unknown = error == "unknown_action";
  if (is_unknown && answer.token.empty() && unknown_action_of(*data) == "DELIVER") {
    // A deployed daemon has taken the place of one of ours. It says so once for each that was wrapped, and what went to it as it is since
    // the first time is on its way.
    features_.clear();
    frame_max_ = 0;
    link_->set_takes_raw(false);
    return queue_.put_back_wrapped();
  }
  // What is busy is its sender's business, who has more of it.
  if (parsed && bulk_.owns(answer.token)) {
    if (queue_.answered(answer.token)) bulk_.bulk_answered(answer.token, outcome_of(**parsed));
    return;
  }
  // It has not taken it, and will later. The queue of its target may be full there; the others' go on.
  if (is_refused_for_now(error)) return queue_.put_back(answer.token, now_s());
  const auto message = is_unknown && answer.token.empty() ? queue_.unknown_action(unknown_action_of(*data)) : queue_.answered(answer.token);
  if (!message) {
    agent_.log().debug("node '{}': {} that nobody waits for token={}", spec_.id, printable(answer.action), printable(answer.token));
    return;
  }
  if (!parsed) return fail(*message, "node '" + spec_.id + "' sent an answer that is no JSON");
  if (bulk_.owns(message->token)) return bulk_.bulk_answered(message->token, outcome_of(**parsed));
  taken(*message);
  // A plain ACK says that the node has taken the message; of what it refuses, one of ours writes the row itself, as each does of an
  // unknown action. Anything else is news for whoever waits for the token.
  const auto outcome = static_cast<int>(integer_of(member(**parsed, "code")).value_or(0));
  // A piece of content that was refused is sent again by its sender: a row would end its token.
  const bool has_row = is_unknown || is_in_its_log(answer) || is_content_piece(message->action) ||
                       (!message->delivery.empty() && answer.token == message->delivery);
  if (has_row || (answer.action == "ACK" && outcome == code::begun)) return;
  agent_.journal().write(NewRow{message->token, outcome, data ? to_text(*data) : "null"});
}

// Whatever it answers to says so of what was sent before on the same connection and has no answer of its own.
void Node::took_until(std::uint64_t sequence) {
  for (const auto& message : queue_.silent_until(sequence)) taken(message);
}

void Node::taken(const Message& message) {
  if (bulk_.owns(message.token)) return bulk_.bulk_answered(message.token, {});
  if (!message.delivery.empty()) agent_.journal().forget_outgoing(message.delivery);
}

}  // namespace gorgone::proxy
