#include "site_agent/task.h"

#include "common/base/overloaded.h"
#include "common/base/text.h"

namespace consilium::site_agent {

std::string_view Name(wire::EvaluationSplit split) {
  return split == wire::EvaluationSplit::kTest ? "test" : "validation";
}

const RunId& RunOf(const Task& task) {
  return std::visit(
      Overloaded{[](const wire::MakeInitialModel& t) -> const RunId& { return t.key.run; },
                 [](const wire::TrainRequest& t) -> const RunId& { return t.key.run; },
                 [](const SendSealed& t) -> const RunId& { return t.key.run; },
                 [](const auto& t) -> const RunId& { return t.run; }},
      task);
}

std::optional<AttemptKey> AttemptOf(const Task& task) {
  using Key = std::optional<AttemptKey>;
  return std::visit(Overloaded{[](const wire::MakeInitialModel& t) -> Key { return t.key; },
                               [](const wire::TrainRequest& t) -> Key { return t.key; },
                               [](const SendSealed& t) -> Key { return t.key; },
                               [](const auto&) -> Key { return std::nullopt; }},
                    task);
}

std::uint32_t RoundOf(const Task& task) {
  if (const auto key = AttemptOf(task)) return key->round;
  if (const auto* describe = std::get_if<wire::DescribeRequest>(&task)) return describe->round;
  if (const auto* personalise = std::get_if<Personalise>(&task)) return personalise->round;
  const auto* evaluate = std::get_if<wire::EvaluateRequest>(&task);
  return evaluate != nullptr ? evaluate->round : 0;
}

std::optional<secagg::SessionKey> SessionOf(const Task& task) {
  using Key = std::optional<secagg::SessionKey>;
  const auto of = [](const auto& t) -> Key { return t.secure ? Key(t.secure->key) : Key(); };
  return std::visit(Overloaded{[&](const wire::TrainRequest& t) { return of(t); },
                               [&](const wire::EvaluateRequest& t) { return of(t); },
                               [](const wire::DescribeRequest& t) -> Key { return t.secure.key; },
                               [](const auto&) -> Key { return std::nullopt; }},
                    task);
}

bool SameWork(const Task& a, const Task& b) {
  if (a.index() != b.index()) return false;
  if (const auto key = AttemptOf(a)) return key == AttemptOf(b);
  if (const auto* x = std::get_if<wire::EvaluateRequest>(&a)) {
    const auto& y = std::get<wire::EvaluateRequest>(b);
    return x->run == y.run && x->round == y.round && x->model == y.model && x->split == y.split &&
           SessionOf(a) == SessionOf(b);
  }
  if (std::holds_alternative<wire::DescribeRequest>(a)) return SessionOf(a) == SessionOf(b);
  if (const auto* x = std::get_if<Personalise>(&a)) {
    const auto& y = std::get<Personalise>(b);
    return x->run == y.run && x->model == y.model && (x->round == 0) == (y.round == 0);
  }
  return std::get<FetchPublished>(a).model == std::get<FetchPublished>(b).model;
}

std::string Describe(const Task& task) {
  return std::visit(
      Overloaded{
          [](const wire::MakeInitialModel&) -> std::string { return "make the initial model"; },
          [](const wire::TrainRequest&) -> std::string { return "train"; },
          [](const wire::EvaluateRequest& t) { return StrCat("evaluate (", Name(t.split), ")"); },
          [](const wire::DescribeRequest& t) -> std::string {
            return t.secure.key.purpose == secagg::Purpose::kPreparation ? "prepare the table"
                                                                         : "describe the images";
          },
          [](const Personalise&) -> std::string { return "make the personal model"; },
          [](const SendSealed&) -> std::string { return "send an update"; },
          [](const FetchPublished&) -> std::string { return "fetch the published model"; }},
      task);
}

}  // namespace consilium::site_agent
