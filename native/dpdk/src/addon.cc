// What JavaScript sees. Control functions throw; functions of a turn are bound to a queue and return numbers.
#include <napi.h>
#include <rte_ethdev.h>
#include <rte_version.h>
#include <string.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "device.h"
#include "eal.h"
#include "external.h"
#include "failure.h"
#include "frames.h"
#include "guard.h"
#include "queue.h"
#include "sockets.h"
#include "watch.h"

namespace weft {
namespace {

/// What one thread (an environment of Node) has of DPDK.
struct Thread {
  bool isRegistered = false;
  std::set<std::shared_ptr<Frames>> frames;

  // Runs on the thread itself when its environment ends, by whatever cause. What it has received and not sent is not
  // known here: the holder column says so, and the main thread sweeps it.
  ~Thread() {
    for (const auto& one : frames) one->flushCaches();
    frames.clear();
    if (isRegistered) unregisterThread();
  }
};

[[noreturn]] void raise(Napi::Env env, const DpdkFailure& failure) {
  Napi::Error error = Napi::Error::New(env, failure.what());
  const char* name = strerrorname_np(failure.error);
  error.Set("code", Napi::String::New(env, name == nullptr ? "EIO" : name));
  error.Set("errno", Napi::Number::New(env, failure.error));
  error.Set("syscall", Napi::String::New(env, failure.call));
  throw error;
}

/// Runs a control function: its failures become JavaScript's.
template <Napi::Value (*body)(const Napi::CallbackInfo&)>
Napi::Value guarded(const Napi::CallbackInfo& info) {
  try {
    return body(info);
  } catch (const DpdkFailure& failure) {
    raise(info.Env(), failure);
  } catch (const std::bad_alloc&) {
    raise(info.Env(), DpdkFailure("malloc", ENOMEM));
  }
}

uint32_t wholeNumber(Napi::Value value, const char* what, uint32_t max = std::numeric_limits<int32_t>::max()) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0) || number > max || number != std::floor(number))
    throw Napi::RangeError::New(value.Env(),
                                std::string(what) + " must be a whole number from 0 to " + std::to_string(max));
  return static_cast<uint32_t>(number);
}

Napi::Object objectOf(const Napi::CallbackInfo& info, size_t index, const char* what) {
  if (!info[index].IsObject()) throw Napi::TypeError::New(info.Env(), std::string(what) + " must be an object");
  return info[index].As<Napi::Object>();
}

uint32_t field(Napi::Object from, const char* name, uint32_t max = std::numeric_limits<int32_t>::max()) {
  return wholeNumber(from.Get(name), name, max);
}

bool flag(Napi::Object from, const char* name) { return from.Get(name).ToBoolean(); }

struct Bytes {
  uint8_t* data;
  uint32_t length;
};

/// An array over shared memory: any other could be detached under a pointer.
template <typename Array>
Bytes sharedArray(Napi::Value value, const char* what, napi_typedarray_type wanted) {
  napi_env env = value.Env();
  bool isTyped = false;
  napi_is_typedarray(env, value, &isTyped);
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0, offset = 0;
  void* data = nullptr;
  napi_value buffer = nullptr;
  if (isTyped) napi_get_typedarray_info(env, value, &type, &length, &data, &buffer, &offset);
  bool isDetachable = true;
  if (isTyped) napi_is_arraybuffer(env, buffer, &isDetachable);
  if (!isTyped || type != wanted || isDetachable || length * sizeof(Array) > std::numeric_limits<int32_t>::max())
    throw Napi::TypeError::New(env, std::string(what) + " must be an array of the right type over a SharedArrayBuffer");
  return {static_cast<uint8_t*>(data), static_cast<uint32_t>(length)};
}

std::shared_ptr<Frames> framesFrom(Napi::Value value) {
  auto frames = framesOf(wholeNumber(value, "frames"));
  if (frames == nullptr) throw Napi::RangeError::New(value.Env(), "these frames are gone");
  return frames;
}

uint16_t portFrom(Napi::Value value) {
  const uint32_t port = wholeNumber(value, "port", UINT16_MAX);
  if (!isEalStarted() || !rte_eth_dev_is_valid_port(static_cast<uint16_t>(port)))
    throw Napi::RangeError::New(value.Env(), "no such port");
  return static_cast<uint16_t>(port);
}

void requireEal(Napi::Env env) {
  if (!isEalStarted()) raise(env, DpdkFailure("rte_eal_init", ENXIO, "DPDK is not started"));
}

Napi::Value version(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), rte_version()); }

Napi::Value start(const Napi::CallbackInfo& info) {
  if (!info[0].IsArray()) throw Napi::TypeError::New(info.Env(), "arguments must be an array of strings");
  const auto list = info[0].As<Napi::Array>();
  std::vector<std::string> arguments;
  for (uint32_t i = 0; i < list.Length(); i++) arguments.push_back(list.Get(i).ToString());
  startEal(arguments);
  return info.Env().Undefined();
}

SlotShape slotShape(Napi::Object from) { return {field(from, "at"), field(from, "count"), field(from, "stride")}; }

/// Keeps the arrays alive for as long as the frames are in the registry.
std::vector<std::pair<uint32_t, Napi::ObjectReference>>& references() {
  thread_local std::vector<std::pair<uint32_t, Napi::ObjectReference>> kept;
  return kept;
}

Napi::Value layFrames(const Napi::CallbackInfo& info) {
  requireEal(info.Env());
  const Napi::Object request = objectOf(info, 0, "request");
  const Bytes arena = sharedArray<uint8_t>(request.Get("arena"), "arena", napi_uint8_array);
  const Bytes holders = sharedArray<int32_t>(request.Get("holders"), "holders", napi_int32_array);
  FramesShape shape;
  shape.small = slotShape(request.Get("small").ToObject());
  shape.large = slotShape(request.Get("large").ToObject());
  shape.firstSlot = field(request, "firstSlot");
  shape.heads = field(request, "heads");
  const auto workers = request.Get("workers");
  for (uint32_t i = 0; workers.IsArray() && i < workers.As<Napi::Array>().Length(); i++) {
    const Napi::Object row = workers.As<Napi::Array>().Get(i).ToObject();
    shape.workers.push_back(slotShape(row));
    shape.firstSlots.push_back(field(row, "firstSlot"));
  }
  const uint32_t id = keepFrames(std::make_shared<Frames>(
      arena.data, arena.length, reinterpret_cast<int32_t*>(holders.data), holders.length, shape));
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

Napi::Value open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  requireEal(env);
  const Napi::Object request = objectOf(info, 0, "request");
  DeviceRequest wanted;
  wanted.devargs = request.Get("devargs").ToString();
  wanted.queues = static_cast<uint16_t>(field(request, "queues", kQueuesMax));
  wanted.mtu = static_cast<uint16_t>(field(request, "mtu", UINT16_MAX));
  wanted.takesSuperframes = flag(request, "superframes");
  wanted.offloads = field(request, "offloads");
  wanted.wantsInterrupts = flag(request, "interrupts");
  const Device device = openDevice(wanted, *framesFrom(request.Get("frames")));
  char mac[RTE_ETHER_ADDR_FMT_SIZE];
  rte_ether_format_addr(mac, sizeof mac, &device.mac);
  for (char* c = mac; *c != 0; c++) *c = static_cast<char>(tolower(*c));
  Napi::Object answer = Napi::Object::New(env);
  answer.Set("port", Napi::Number::New(env, device.port));
  answer.Set("driver", Napi::String::New(env, device.driver));
  answer.Set("mac", Napi::String::New(env, mac));
  answer.Set("queues", Napi::Number::New(env, device.queues));
  answer.Set("offloads", Napi::Number::New(env, device.offloads));
  answer.Set("chains", Napi::Boolean::New(env, device.takesChains));
  answer.Set("mtu", Napi::Number::New(env, device.mtu));
  Napi::Array wakes = Napi::Array::New(env);
  for (const Wake& wake : device.wakes) {
    Napi::Array pair = Napi::Array::New(env);
    pair.Set(0u, wake.interrupt);
    pair.Set(1u, wake.bell);
    wakes.Set(wakes.Length(), pair);
  }
  answer.Set("wakes", wakes);
  return answer;
}

Napi::Value close(const Napi::CallbackInfo& info) {
  closeDevice(portFrom(info[0]));
  return info.Env().Undefined();
}

Napi::Value state(const Napi::CallbackInfo& info) {
  const DeviceState now = deviceState(portFrom(info[0]));
  const Napi::Env env = info.Env();
  Napi::Object answer = Napi::Object::New(env);
  answer.Set("up", Napi::Boolean::New(env, now.isUp));
  answer.Set("speedMbps", Napi::Number::New(env, now.speedMbps));
  answer.Set("queuesEnabled", Napi::Number::New(env, now.queuesEnabled));
  answer.Set("machineQueues", Napi::Number::New(env, now.machineQueues));
  const std::pair<const char*, uint64_t> figures[] = {{"rxPackets", now.rxPackets}, {"txPackets", now.txPackets},
                                                      {"missed", now.missed},       {"rxErrors", now.rxErrors},
                                                      {"txErrors", now.txErrors},   {"noBuffers", now.noBuffers}};
  for (const auto& [name, figure] : figures) answer.Set(name, Napi::Number::New(env, static_cast<double>(figure)));
  return answer;
}

Napi::Value takeNews(const Napi::CallbackInfo& info) {
  std::string lines = takeLines();
  const std::string file = takeCutOff();
  if (!file.empty()) lines += "memory of a virtual machine was cut off, and reads as zeros: " + file + "\n";
  return Napi::String::New(info.Env(), lines);
}

Napi::Value pathHeld(const Napi::CallbackInfo& info) {
  if (!info[0].IsString()) throw Napi::TypeError::New(info.Env(), "path must be a string");
  return Napi::Boolean::New(info.Env(), isHeld(info[0].As<Napi::String>()));
}

Napi::Value socketConnections(const Napi::CallbackInfo& info) {
  const Connections found = connections();
  Napi::Object answer = Napi::Object::New(info.Env());
  const std::pair<const char*, const std::vector<std::string>*> lists[] = {{"accepted", &found.accepted},
                                                                           {"connected", &found.connected}};
  for (const auto& [name, paths] : lists) {
    Napi::Array array = Napi::Array::New(info.Env(), paths->size());
    for (uint32_t i = 0; i < paths->size(); i++) array.Set(i, (*paths)[i]);
    answer.Set(name, array);
  }
  return answer;
}

// Functions of a turn: raw Node-API callbacks with the queue as their data.

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
  const Bytes io = sharedArray<int32_t>(info[1], "io", napi_int32_array);
  const Bytes words = sharedArray<int32_t>(info[4], "state", napi_int32_array);
  if (words.length < kQueueStateWords) throw Napi::RangeError::New(env, "state is too short");
  const LaneColumns lanes = laneColumns(objectOf(info, 3, "lanes"), *frames);
  const MessageColumns columns = messageColumns(objectOf(info, 2, "layout"), io.length);
  QueueRequest wanted;
  wanted.port = portFrom(request.Get("port"));
  rte_eth_dev_info device{};
  rte_eth_dev_info_get(wanted.port, &device);
  if (!request.Get("rxQueues").IsArray()) throw Napi::TypeError::New(env, "rxQueues must be an array");
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

  Thread* thread = env.GetInstanceData<Thread>();
  registerThread();
  thread->isRegistered = true;
  thread->frames.insert(frames);

  auto queue = std::make_shared<Queue>(frames, wanted, lanes, columns, reinterpret_cast<int32_t*>(io.data),
                                       reinterpret_cast<int32_t*>(words.data));
  Napi::Object bound = Napi::Object::New(env);
  const std::pair<const char*, napi_callback> functions[] = {
      {"rx", receiveCall}, {"tx", sendCall}, {"release", releaseCall}, {"spare", spareCall}, {"close", closeCall}};
  for (const auto& [name, callback] : functions)
    bound.Set(name, boundFunction(env, name, callback, queue, info[1], info[4]));
  return bound;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData<Thread>(new Thread);
  exports.Set("version", Napi::Function::New<guarded<version>>(env));
  exports.Set("start", Napi::Function::New<guarded<start>>(env));
  exports.Set("layFrames", Napi::Function::New<guarded<layFrames>>(env));
  exports.Set("framesState", Napi::Function::New<guarded<framesState>>(env));
  exports.Set("sweep", Napi::Function::New<guarded<sweep>>(env));
  exports.Set("dropFrames", Napi::Function::New<guarded<dropAll>>(env));
  exports.Set("open", Napi::Function::New<guarded<open>>(env));
  exports.Set("close", Napi::Function::New<guarded<close>>(env));
  exports.Set("state", Napi::Function::New<guarded<state>>(env));
  exports.Set("takeLog", Napi::Function::New<guarded<takeNews>>(env));
  exports.Set("isHeld", Napi::Function::New<guarded<pathHeld>>(env));
  exports.Set("connections", Napi::Function::New<guarded<socketConnections>>(env));
  exports.Set("bindQueue", Napi::Function::New<guarded<bindQueue>>(env));
  napi_value interrupt = nullptr;
  napi_create_function(env, "interrupt", NAPI_AUTO_LENGTH, interruptCall, nullptr, &interrupt);
  exports.Set("interrupt", Napi::Value(env, interrupt));
  return exports;
}

}  // namespace
}  // namespace weft

static Napi::Object initAddon(Napi::Env env, Napi::Object exports) { return weft::init(env, exports); }
NODE_API_MODULE(weft_dpdk, initAddon)
