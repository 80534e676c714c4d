// Pools over the arena: laid, counted, swept, dropped.
#include <algorithm>
#include <utility>
#include <vector>

#include "addon.h"
#include "arguments.h"

namespace weft {
namespace {

SlotShape slotShape(Napi::Object from) { return {field(from, "at"), field(from, "count"), field(from, "stride")}; }

void addWorkers(Napi::Value rows, FramesShape* shape) {
  if (!rows.IsArray()) return;
  const auto list = rows.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) {
    const Napi::Object row = list.Get(i).ToObject();
    shape->workers.push_back(slotShape(row));
    shape->firstSlots.push_back(field(row, "firstSlot"));
  }
}

/// Keeps the arrays alive for as long as the frames are in the registry.
std::vector<std::pair<uint32_t, Napi::ObjectReference>>& references() {
  thread_local std::vector<std::pair<uint32_t, Napi::ObjectReference>> kept;
  return kept;
}

Napi::Value layFrames(const Napi::CallbackInfo& info) {
  requireEal(info.Env());
  const Napi::Object request = objectOf(info, 0, "request");
  const Elements<uint8_t> arena = sharedBytes(request.Get("arena"), "arena");
  const Elements<int32_t> holders = sharedWords(request.Get("holders"), "holders");
  FramesShape shape;
  shape.small = slotShape(request.Get("small").ToObject());
  shape.large = slotShape(request.Get("large").ToObject());
  shape.firstSlot = field(request, "firstSlot");
  shape.heads = field(request, "heads");
  addWorkers(request.Get("workers"), &shape);
  const uint32_t id =
      keepFrames(std::make_shared<Frames>(arena.data, arena.length, holders.data, holders.length, shape));
  // Never dropped: pools that are not complete stay behind, and devices may still write into them.
  for (const char* name : {"arena", "holders"}) {
    auto reference = Napi::Persistent(request.Get(name).As<Napi::Object>());
    reference.SuppressDestruct();
    references().emplace_back(id, std::move(reference));
  }
  return Napi::Number::New(info.Env(), id);
}

Napi::Object poolState(Napi::Env env, const rte_mempool* pool) {
  Napi::Object state = Napi::Object::New(env);
  state.Set("total", Napi::Number::New(env, pool == nullptr ? 0 : pool->size));
  state.Set("free", Napi::Number::New(env, pool == nullptr ? 0 : rte_mempool_avail_count(pool)));
  return state;
}

Napi::Value framesState(const Napi::CallbackInfo& info) {
  const auto frames = framesFrom(info[0]);
  Napi::Object state = Napi::Object::New(info.Env());
  state.Set("small", poolState(info.Env(), frames->small.pool));
  state.Set("large", poolState(info.Env(), frames->large.pool));
  state.Set("heads", poolState(info.Env(), frames->heads));
  return state;
}

Napi::Value sweep(const Napi::CallbackInfo& info) {
  const auto frames = framesFrom(info[0]);
  return Napi::Number::New(info.Env(), frames->sweep(static_cast<int32_t>(wholeNumber(info[1], "place", 65535))));
}

Napi::Value dropAll(const Napi::CallbackInfo& info) {
  const uint32_t id = wholeNumber(info[0], "frames");
  dropFrames(id);
  auto& kept = references();
  kept.erase(std::remove_if(kept.begin(), kept.end(), [id](auto& one) { return one.first == id; }), kept.end());
  return info.Env().Undefined();
}

}  // namespace

void exportFrames(Napi::Env env, Napi::Object exports) {
  exports.Set("layFrames", Napi::Function::New<guarded<layFrames>>(env));
  exports.Set("framesState", Napi::Function::New<guarded<framesState>>(env));
  exports.Set("sweep", Napi::Function::New<guarded<sweep>>(env));
  exports.Set("dropFrames", Napi::Function::New<guarded<dropAll>>(env));
}

}  // namespace weft
