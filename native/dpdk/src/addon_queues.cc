// Queues, bound to a worker's columns: the functions of a turn are raw Node-API callbacks with the queue as their data.
#include <errno.h>
#include <rte_ethdev.h>
#include <string.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "addon.h"
#include "arguments.h"
#include "device.h"
#include "external.h"
#include "queue.h"
#include "watch.h"

namespace weft {
namespace {

Queue* queueOf(napi_env env, napi_callback_info info, size_t* count, napi_value* values) {
  void* data = nullptr;
  napi_get_cb_info(env, info, count, values, nullptr, &data);
  return static_cast<Queue*>(data);
}

napi_value numberOf(napi_env env, int32_t number) {
  napi_value value = nullptr;
  napi_create_int32(env, number, &value);
  return value;
}

/// A whole number that is not negative, or -1.
int32_t argument(napi_env env, napi_value value) {
  double number = -1;
  if (napi_get_value_double(env, value, &number) != napi_ok || !(number >= 0) || number > 65536 ||
      number != std::floor(number))
    return -1;
  return static_cast<int32_t>(number);
}

napi_value receiveCall(napi_env env, napi_callback_info info) {
  size_t count = 0;
  return numberOf(env, queueOf(env, info, &count, nullptr)->receive());
}

napi_value sendCall(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value values[2];
  Queue* queue = queueOf(env, info, &count, values);
  const int32_t n = count > 0 ? argument(env, values[0]) : -1;
  const int32_t isShared = count > 1 ? argument(env, values[1]) : 0;
  return numberOf(env, n < 0 || isShared < 0 ? -EINVAL : queue->send(static_cast<uint32_t>(n), isShared != 0));
}

napi_value releaseCall(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value values[1];
  Queue* queue = queueOf(env, info, &count, values);
  const int32_t n = count > 0 ? argument(env, values[0]) : -1;
  if (n < 0) return numberOf(env, -EINVAL);
  queue->release(static_cast<uint32_t>(n));
  return numberOf(env, 0);
}

napi_value interruptCall(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value values[3];
  napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  int32_t numbers[3] = {-1, -1, -1};
  for (size_t k = 0; k < count && k < 3; k++) numbers[k] = argument(env, values[k]);
  const auto [port, queue, isWanted] = numbers;
  if (port < 0 || port > UINT16_MAX || queue < 0 || queue > UINT16_MAX || isWanted < 0) return numberOf(env, -EINVAL);
  return numberOf(env, setInterrupt(static_cast<uint16_t>(port), static_cast<uint16_t>(queue), isWanted != 0));
}

napi_value closeCall(napi_env env, napi_callback_info info) {
  size_t count = 0;
  queueOf(env, info, &count, nullptr)->close();
  return numberOf(env, 0);
}

napi_value spareCall(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value values[1];
  queueOf(env, info, &count, values);
  const int32_t n = count > 0 ? argument(env, values[0]) : -1;
  if (n < 0) return numberOf(env, -EINVAL);
  slotAccount() = {static_cast<uint32_t>(n), 0};
  return numberOf(env, 0);
}

uint32_t laneColumn(Napi::Object from, const char* name, const Frames& frames, uint32_t lanes) {
  const uint32_t at = field(from, name);
  if (at % 4 != 0 || at + uint64_t{lanes} * 4 > frames.arenaBytes)
    throw Napi::RangeError::New(from.Env(), std::string(name) + " is not a column of the arena");
  return at;
}

LaneColumns laneColumns(Napi::Object from, const Frames& frames) {
  LaneColumns l{};
  l.lanes = field(from, "lanes", 64);
  auto column = [&](const char* name) { return laneColumn(from, name, frames, l.lanes); };
  l.slot = column("slot");
  l.at = column("at");
  l.len = column("len");
  l.packets = column("packets");
  l.gsoType = column("gsoType");
  l.gsoSize = column("gsoSize");
  l.csumStart = column("csumStart");
  l.csumOffset = column("csumOffset");
  l.flags = column("flags");
  l.drop = column("drop");
  l.needsChecksum = static_cast<int32_t>(field(from, "needsCsum"));
  l.hasGso = static_cast<int32_t>(field(from, "hasGso"));
  l.truncated = static_cast<int32_t>(field(from, "truncated"));
  return l;
}

MessageColumns messageColumns(Napi::Object from, uint32_t words) {
  MessageColumns c{};
  c.messages = field(from, "messages", 65536);
  c.extents = field(from, "extents", 65536);
  auto column = [&](const char* name, uint32_t rows) {
    const uint32_t at = field(from, name);
    if (static_cast<uint64_t>(at) + rows > words)
      throw Napi::RangeError::New(from.Env(), std::string(name) + " is not a column of the io block");
    return at;
  };
  c.msgFirst = column("msgFirst", c.messages);
  c.msgCount = column("msgCount", c.messages);
  c.msgResult = column("msgResult", c.messages);
  c.extAt = column("extAt", c.extents);
  c.extLen = column("extLen", c.extents);
  return c;
}

QueueRequest queueRequest(Napi::Object request) {
  QueueRequest wanted;
  wanted.port = portFrom(request.Get("port"));
  rte_eth_dev_info device{};
  rte_eth_dev_info_get(wanted.port, &device);
  if (!request.Get("rxQueues").IsArray()) throw Napi::TypeError::New(request.Env(), "rxQueues must be an array");
  const auto rxQueues = request.Get("rxQueues").As<Napi::Array>();
  for (uint32_t i = 0; i < rxQueues.Length(); i++)
    wanted.rxQueues.push_back(static_cast<uint16_t>(
        wholeNumber(rxQueues.Get(i), "rxQueues", std::max<uint32_t>(1, device.nb_rx_queues) - 1)));
  wanted.txQueue = static_cast<uint16_t>(field(request, "txQueue", std::max<uint32_t>(1, device.nb_tx_queues) - 1));
  wanted.hasVnet = flag(request, "vnet");
  wanted.takesChains = flag(request, "chains");
  wanted.hasGuest = isVhost(device);
  wanted.isSynchronous = isSynchronous(device);
  wanted.bringsForeign = strcmp(device.driver_name, "net_ring") == 0;
  wanted.place = static_cast<int32_t>(field(request, "place", 65535));
  return wanted;
}

/// Makes a function of a turn. It keeps the queue, and the arrays that the queue points to, for as long as it lives
/// itself.
napi_value boundFunction(Napi::Env env, const char* name, napi_callback callback, std::shared_ptr<Queue> queue,
                         Napi::Value io, Napi::Value state) {
  napi_value made = nullptr;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, queue.get(), &made);
  auto* kept = new std::shared_ptr<Queue>(std::move(queue));
  const auto drop = [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<Queue>*>(data); };
  napi_add_finalizer(env, made, kept, drop, nullptr, nullptr);
  Napi::Object function(env, made);
  function.Set("io", io);
  function.Set("state", state);
  return made;
}

Napi::Value bindQueue(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  requireEal(env);
  const Napi::Object request = objectOf(info, 0, "request");
  const auto frames = framesFrom(request.Get("frames"));
  const Elements<int32_t> io = sharedWords(info[1], "io");
  const Elements<int32_t> words = sharedWords(info[4], "state");
  if (words.length < kQueueStateWords) throw Napi::RangeError::New(env, "state is too short");
  const LaneColumns lanes = laneColumns(objectOf(info, 3, "lanes"), *frames);
  const MessageColumns columns = messageColumns(objectOf(info, 2, "layout"), io.length);
  const QueueRequest wanted = queueRequest(request);

  Thread* thread = env.GetInstanceData<Thread>();
  registerThread();
  thread->isRegistered = true;
  thread->frames.insert(frames);

  auto queue = std::make_shared<Queue>(frames, wanted, lanes, columns, io.data, words.data);
  Napi::Object bound = Napi::Object::New(env);
  const std::pair<const char*, napi_callback> functions[] = {
      {"rx", receiveCall}, {"tx", sendCall}, {"release", releaseCall}, {"spare", spareCall}, {"close", closeCall}};
  for (const auto& [name, callback] : functions)
    bound.Set(name, boundFunction(env, name, callback, queue, info[1], info[4]));
  return bound;
}

}  // namespace

void exportQueues(Napi::Env env, Napi::Object exports) {
  exports.Set("bindQueue", Napi::Function::New<guarded<bindQueue>>(env));
  napi_value interrupt = nullptr;
  napi_create_function(env, "interrupt", NAPI_AUTO_LENGTH, interruptCall, nullptr, &interrupt);
  exports.Set("interrupt", Napi::Value(env, interrupt));
}

}  // namespace weft
