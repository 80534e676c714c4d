// Devices: opened, looked at, closed; what DPDK says of them in its log, and who is at their sockets.
#include <ctype.h>

#include <string>
#include <utility>
#include <vector>

#include "addon.h"
#include "arguments.h"
#include "device.h"
#include "failure.h"
#include "guard.h"
#include "sockets.h"
#include "watch.h"

namespace weft {
namespace {

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
  const std::pair<const char*, uint64_t> figures[] = {{"machineFeatures", now.machineFeatures},
                                                      {"rxPackets", now.rxPackets},
                                                      {"txPackets", now.txPackets},
                                                      {"missed", now.missed},
                                                      {"rxErrors", now.rxErrors},
                                                      {"txErrors", now.txErrors},
                                                      {"noBuffers", now.noBuffers}};
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

}  // namespace

void exportDevices(Napi::Env env, Napi::Object exports) {
  exports.Set("open", Napi::Function::New<guarded<open>>(env));
  exports.Set("close", Napi::Function::New<guarded<close>>(env));
  exports.Set("state", Napi::Function::New<guarded<state>>(env));
  exports.Set("takeLog", Napi::Function::New<guarded<takeNews>>(env));
  exports.Set("isHeld", Napi::Function::New<guarded<pathHeld>>(env));
  exports.Set("connections", Napi::Function::New<guarded<socketConnections>>(env));
}

}  // namespace weft
