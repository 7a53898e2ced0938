// Bodies written by hand from the standards' tables, and the exact JSON they stand for, both ways.
#include <doctest/doctest.h>

#include <fstream>
#include <string>

#include "engine/base/hex.hpp"
#include "protocols/jt808/codec/body_json.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "tests/unit/jt808/law.hpp"
#include "tests/unit/jt808/support.hpp"

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;

namespace {

constexpr Version v2013 = Version::v2013;
constexpr Version v2019 = Version::v2019;

Raw spaced(std::string_view text) {
  std::string packed;
  for (const char c : text) {
    if (c != ' ') packed += c;
  }
  return hex(packed);
}

std::string shown(std::uint16_t id, Version version, Bytes body, bool secrets = true) {
  std::string out;
  JsonWriter json(out);
  Header header{};
  header.version = version;
  json.begin_object();
  body_json(*find_message(id), header, body, secrets, json);
  json.end_object();
  return out;
}

// Quotation marks of `json` are ' here.
void check(std::uint16_t id, Version version, std::string_view bytes, std::string_view json) {
  CAPTURE(id);
  const Raw body = spaced(bytes);
  std::string wanted(json);
  std::ranges::replace(wanted, '\'', '"');
  CHECK(shown(id, version, body) == wanted);
  const auto again = encode_body(*find_message(id), version, wanted);
  REQUIRE_MESSAGE(again, again.error().message);
  CHECK(to_hex(*again) == to_hex(body));
}

}  // namespace

TEST_CASE("circles: 2011 counts twice, 2019 has a limit at night and a name") {
  check(0x8600, v2013, "00 02 01 00000001 0000 01dc9a07 0739e487 000000c8",
        "{'layout':'2011','operation':'update','total':2,'areas':[{'area_id':1,'attributes':[],"
        "'latitude_deg':31.234567,'longitude_deg':121.234567,'radius_m':200}]}");
  // Every day from 8 to 18 o'clock; no limit. Then a limit and no time, south and west.
  check(0x8600, v2013,
        "01 02 00000001 8005 01dc9a07 0739e487 000000c8 000000080000 000000180000"
        "00000002 40c2 01dc9a07 0739e487 000000c8 0050 0a",
        "{'operation':'append','areas':[{'area_id':1,'attributes':['time','entry-to-driver',"
        "'detailed-gnss'],'latitude_deg':31.234567,'longitude_deg':121.234567,'radius_m':200,"
        "'start':'08:00:00','end':'18:00:00'},{'area_id':2,'attributes':['speed-limit','south',"
        "'west','communication-off'],'latitude_deg':-31.234567,'longitude_deg':-121.234567,"
        "'radius_m':200,'speed_limit_kmh':80,'overspeed_s':10}]}");
  check(0x8600, v2019,
        "02 02 00000001 0002 01dc9a07 0739e487 000000c8 0050 0a 003c 0004 b2e2cad4"
        "00000002 0100 01dc9a07 0739e487 000000c8 0000",
        "{'operation':'modify','areas':[{'area_id':1,'attributes':['speed-limit'],"
        "'latitude_deg':31.234567,'longitude_deg':121.234567,'radius_m':200,'speed_limit_kmh':80,"
        "'overspeed_s':10,'night_speed_limit_kmh':60,'area_name':'测试'},{'area_id':2,"
        "'attributes':['doors-stay-shut'],'latitude_deg':31.234567,'longitude_deg':121.234567,"
        "'radius_m':200,'area_name':''}]}");
}

TEST_CASE("rectangles") {
  check(0x8602, v2013,
        "00 01 01 00000007 0003 01dc9a07 0739e487 01dc9a06 0739e488 260131080000 260131090000"
        "0064 05",
        "{'layout':'2011','operation':'update','total':1,'areas':[{'area_id':7,'attributes':"
        "['time','speed-limit'],'top_latitude_deg':31.234567,'left_longitude_deg':121.234567,"
        "'bottom_latitude_deg':31.234566,'right_longitude_deg':121.234568,"
        "'start':'2026-01-31T00:00:00Z','end':'2026-01-31T01:00:00Z','speed_limit_kmh':100,"
        "'overspeed_s':5}]}");
  check(0x8602, v2013, "00 01 00000007 0040 01dc9a07 0739e487 01dc9a06 0739e488",
        "{'operation':'update','areas':[{'area_id':7,'attributes':['south'],"
        "'top_latitude_deg':-31.234567,'left_longitude_deg':121.234567,"
        "'bottom_latitude_deg':-31.234566,'right_longitude_deg':121.234568}]}");
  check(0x8602, v2019, "00 01 00000007 0002 01dc9a07 0739e487 01dc9a06 0739e488 0064 05 0050 0000",
        "{'operation':'update','areas':[{'area_id':7,'attributes':['speed-limit'],"
        "'top_latitude_deg':31.234567,'left_longitude_deg':121.234567,"
        "'bottom_latitude_deg':31.234566,'right_longitude_deg':121.234568,'speed_limit_kmh':100,"
        "'overspeed_s':5,'night_speed_limit_kmh':80,'area_name':''}]}");
}

TEST_CASE("polygons: the limit at night stands behind the vertices") {
  check(0x8604, v2013, "00000003 0000 0001 0000007b 00000159",
        "{'area_id':3,'attributes':[],'vertices':[{'latitude_deg':0.000123,"
        "'longitude_deg':0.000345}]}");
  check(0x8604, v2019,
        "00000003 0082 0064 05 0002 0000007b 00000159 00000000 00000001 0050 0001 41",
        "{'area_id':3,'attributes':['speed-limit','west'],'speed_limit_kmh':100,'overspeed_s':5,"
        "'vertices':[{'latitude_deg':0.000123,'longitude_deg':-0.000345},{'latitude_deg':0.000000,"
        "'longitude_deg':-0.000001}],'night_speed_limit_kmh':80,'area_name':'A'}");
}

TEST_CASE("routes in three versions") {
  check(0x8606, v2013,
        "00000009 0000 0002 01 00000005 01dc9a07 0739e487 1e 03 0258 0050 0a",
        "{'layout':'2011','route_id':9,'attributes':[],'total':2,'points':[{'segment_id':5,"
        "'latitude_deg':31.234567,'longitude_deg':121.234567,'width_m':30,"
        "'segment_attributes':['time','speed-limit'],'driving_time_s':600,'speed_limit_kmh':80,"
        "'overspeed_s':10}]}");
  check(0x8606, v2013,
        "00000009 0021 000000080000 000000180000 0002"
        "00000001 00000005 01dc9a07 0739e487 1e 00"
        "00000002 00000006 01dc9a07 0739e487 1e 0d 0258 012c",
        "{'route_id':9,'attributes':['time','exit-to-platform'],'start':'08:00:00',"
        "'end':'18:00:00','points':[{'point_id':1,'segment_id':5,'latitude_deg':31.234567,"
        "'longitude_deg':121.234567,'width_m':30,'segment_attributes':[]},{'point_id':2,"
        "'segment_id':6,'latitude_deg':31.234567,'longitude_deg':121.234567,'width_m':30,"
        "'segment_attributes':['time','south','west'],'driving_time_max_s':600,"
        "'driving_time_min_s':300}]}");
  check(0x8606, v2019,
        "00000009 0000 0001 00000001 00000005 01dc9a07 0739e487 1e 02 0050 0a 003c 0000",
        "{'route_id':9,'attributes':[],'points':[{'point_id':1,'segment_id':5,"
        "'latitude_deg':31.234567,'longitude_deg':121.234567,'width_m':30,"
        "'segment_attributes':['speed-limit'],'speed_limit_kmh':80,'overspeed_s':10,"
        "'night_speed_limit_kmh':60}],'area_name':''}");
}

TEST_CASE("stored areas: with and without what the setting message begins with") {
  check(0x0608, v2019, "01 00000001 00000001 0000 01dc9a07 0739e487 000000c8 0001 41",
        "{'type':'circle','circles':[{'area_id':1,'attributes':[],'latitude_deg':31.234567,"
        "'longitude_deg':121.234567,'radius_m':200,'area_name':'A'}]}");
  check(0x0608, v2019, "01 00000001 00 01 00000001 0000 01dc9a07 0739e487 000000c8 0001 41",
        "{'layout':'odd','type':'circle','circle_messages':[{'operation':'update','areas':["
        "{'area_id':1,'attributes':[],'latitude_deg':31.234567,'longitude_deg':121.234567,"
        "'radius_m':200,'area_name':'A'}]}]}");
  check(0x8608, v2019, "04 00000002 00000001 00000009", "{'type':'route','ids':[1,9]}");
}

TEST_CASE("attributes: the layout that uses up the body is taken") {
  const std::string tail = "31323334353637 89860123456789012345 02 4831 02 4631 03 21";
  check(0x0107, v2013,
        "0005 4142434400 4d31000000000000000000000000000000000000" + tail,
        "{'type':['passenger-vehicles','freight-vehicles'],'maker':'ABCD','model':'M1',"
        "'terminal_id':'1234567','iccid':'89860123456789012345','hardware_version':'H1',"
        "'firmware_version':'F1','gnss':['gps','beidou'],'communication':['gprs','lte']}");
  const std::string rest =
      "4d3100000000000000000000000000000000000000000000000000000000"
      "313233343536370000000000000000000000000000000000000000000000"
      "89860123456789012345 02 4831 02 4631 03 20";
  check(0x0107, v2019, "0100 4142434400" + rest,
        "{'type':['trailers'],'maker':'ABCD','model':'M1','terminal_id':'1234567',"
        "'iccid':'89860123456789012345','hardware_version':'H1','firmware_version':'F1',"
        "'gnss':['gps','beidou'],'communication':['lte']}");
  check(0x0107, v2019, "0100 4142434400000000000000" + rest,
        "{'layout':'odd','type':['trailers'],'maker':'ABCD','model':'M1',"
        "'terminal_id':'1234567','iccid':'89860123456789012345','hardware_version':'H1',"
        "'firmware_version':'F1','gnss':['gps','beidou'],'communication':['lte']}");
}

TEST_CASE("the driver's card") {
  const std::string driver = "04 d5c5c8fd";
  const std::string number = "3132330000000000000000000000000000000000";
  check(0x0702, v2013, "02 260131080000", "{'status':'removed','time':'2026-01-31T00:00:00Z'}");
  check(0x0702, v2013, "01 260131080000 02",
        "{'status':'inserted','time':'2026-01-31T00:00:00Z','card_result':'locked'}");
  check(0x0702, v2013, "01 260131080000 00" + driver + number + "01 41 20300630",
        "{'status':'inserted','time':'2026-01-31T00:00:00Z','card_result':'ok','driver':'张三',"
        "'certificate':'123','issuer':'A','valid_until':'2030-06-30'}");
  check(0x0702, v2019, "01 260131080000 00" + driver + number + "01 41 20300630" + number,
        "{'status':'inserted','time':'2026-01-31T00:00:00Z','card_result':'ok','driver':'张三',"
        "'certificate':'123','issuer':'A','valid_until':'2030-06-30','identity_card':'123'}");
  // A body of 2019 under a header of 2013, and a card that was read although it is gone.
  check(0x0702, v2013, "01 260131080000 00" + driver + number + "01 41 20300630" + number,
        "{'layout':'2019','status':'inserted','time':'2026-01-31T00:00:00Z','card_result':'ok',"
        "'driver':'张三','certificate':'123','issuer':'A','valid_until':'2030-06-30',"
        "'identity_card':'123'}");
  check(0x0702, v2013, "02 260131080000 00" + driver + number + "01 41 20300630",
        "{'layout':'odd','status':'removed','time':'2026-01-31T00:00:00Z','card_result':'ok',"
        "'driver':'张三','certificate':'123','issuer':'A','valid_until':'2030-06-30'}");
  check(0x0702, v2013, driver + number + number + "0000000000000000000000000000000000000000 01 41",
        "{'layout':'2011','driver':'张三','identity_card':'123','certificate':'123',"
        "'issuer':'A'}");
}

TEST_CASE("lost packets: a BYTE counts them in 2013, a WORD in 2019") {
  check(0x8003, v2013, "0102 02 0003 0004", "{'first_serial':258,'packets':[3,4]}");
  check(0x8003, v2019, "0102 0002 0003 0004", "{'first_serial':258,'packets':[3,4]}");
  check(0x0005, v2019, "0102 0000", "{'first_serial':258,'packets':[]}");
}

TEST_CASE("controls of the vehicle: 2019 turned the door's meaning round") {
  check(0x8500, v2013, "01", "{'doors':'lock','reserved':0}");
  check(0x8500, v2019, "0001 0001 00", "{'controls':[{'control':'door','doors':'lock'}]}");
  check(0x8500, v2019, "0001 0005 aabb", "{'controls':[{'control':5,'parameter':'aabb'}]}");
  check(0x8500, v2019, "0001 01", "{'layout':'odd','control':'door','value':1}");
  const auto lock = encode_body(*find_message(0x8500), v2013, R"({"doors":"unlock"})");
  REQUIRE(lock);
  CHECK(to_hex(*lock) == "00");
}

TEST_CASE("texts, tracking, cameras") {
  check(0x8300, v2013, "0c b2e2cad4", "{'flags':['display','tts'],'text':'测试'}");
  check(0x8300, v2019, "0e 02 b2e2cad4",
        "{'flags':['display','tts'],'level':'urgent','type':'service','text':'测试'}");
  check(0x8202, v2013, "0000", "{'interval_s':0}");
  check(0x8202, v2013, "000a 00000258", "{'interval_s':10,'validity_s':600}");
  check(0x8202, v2013, "0000 00000000", "{'layout':'odd','interval_s':0,'validity_s':0}");
  check(0x8801, v2013, "01 ffff 003c 01 06 05 7f 40 40 80",
        "{'channel':1,'command':'video','interval_s':60,'save':'store','resolution':'cif',"
        "'quality':5,'brightness':127,'contrast':64,'saturation':64,'chroma':128}");
  check(0x8801, v2019, "01 0003 003c 00 ff 05 7f 40 40 80",
        "{'channel':1,'command':3,'interval_s':60,'save':'upload','resolution':'highest',"
        "'quality':5,'brightness':127,'contrast':64,'saturation':64,'chroma':128}");
  check(0x0805, v2013, "0007 00 0002 00000001 00000002",
        "{'reply_serial':7,'result':'ok','media_ids':[1,2]}");
  check(0x0805, v2013, "0007 02", "{'reply_serial':7,'result':'channel-not-supported'}");
  check(0x0805, v2013, "0007 01 0000",
        "{'layout':'odd','reply_serial':7,'result':'failed','media_ids':[]}");
  check(0x8800, v2013, "0000007b", "{'media_id':123}");
  check(0x8800, v2013, "0000007b 02 0003 0005", "{'media_id':123,'packets':[3,5]}");
}

TEST_CASE("media: bytes without a time are no position") {
  check(0x0801, v2013,
        "0000007b 00 00 01 02 00000000 00000002 01dc9a07 0739e487 000a 0258 005a 260131080000 ffd8",
        "{'media_id':123,'type':'image','format':'jpeg','event':'timer','channel':2,'location':"
        "{'alarms':[],'status':['fixed'],'load':'empty','latitude_deg':31.234567,"
        "'longitude_deg':121.234567,'altitude_m':10,'speed_kmh':60.0,'heading_deg':90,"
        "'time':'2026-01-31T00:00:00Z'},'data':'ffd8'}");
  check(0x0801, v2013,
        "0000007b 00 00 01 02 ffd8ffe000104a46494600010101004800480000ffdb004300030202",
        "{'layout':'odd','media_id':123,'type':'image','format':'jpeg','event':'timer',"
        "'channel':2,'data':'ffd8ffe000104a46494600010101004800480000ffdb004300030202'}");
}

TEST_CASE("recordings and uploads of JT/T 1078") {
  check(0x1205, v2013,
        "0007 00000001 02 260131080000 260131090000 0000000100000001 00 01 01 00100000",
        "{'reply_serial':7,'recordings':[{'channel':2,'start':'2026-01-31T00:00:00Z',"
        "'end':'2026-01-31T01:00:00Z','alarms':['sos','video-signal-lost'],"
        "'type':'audio-and-video','stream':'main','storage':'main','size_bytes':1048576}]}");
  check(0x9205, v2013, "00 260131080000 000000000000 0000000000000000 03 00 00",
        "{'channel':0,'start':'2026-01-31T00:00:00Z','end':null,'alarms':[],"
        "'type':'audio-or-video','stream':'all','storage':'all'}");
  check(0x9101, v2013, "09 3132372e302e302e31 1f90 0000 01 00 01",
        "{'address':'127.0.0.1','tcp_port':8080,'udp_port':0,'channel':1,"
        "'type':'audio-and-video','stream':'sub'}");
  const Raw upload = spaced(
      "01 61 0015 01 75 02 7077 01 2f 01 260131080000 260131090000 0000000000000000 00 01 01 05");
  CHECK(shown(0x9206, v2013, upload, false) ==
        R"({"address":"a","port":21,"user":"u","password":"**","path":"/","channel":1,)"
        R"("start":"2026-01-31T00:00:00Z","end":"2026-01-31T01:00:00Z","alarms":[],)"
        R"("type":"audio-and-video","stream":"main","storage":"main",)"
        R"("conditions":["wifi","mobile"]})");
}

namespace {

constexpr std::string_view base =
    "00000000 00000003 01dc9a07 0739e487 000a 0258 005a 260131080000";
constexpr std::string_view base_json =
    "{'alarms':[],'status':['acc-on','fixed'],'load':'empty','latitude_deg':31.234567,"
    "'longitude_deg':121.234567,'altitude_m':10,'speed_kmh':60.0,'heading_deg':90,"
    "'time':'2026-01-31T00:00:00Z','items':[";

void check_item(Version version, const std::string& item, const std::string& json) {
  check(0x0200, version, std::string(base) + item, std::string(base_json) + json + "]}");
}

// Of alarms: speed to vehicle status.
const std::string place = "3c 000a 01dc9a07 0739e487 260131080000 0401";
const std::string place_json =
    "'speed_kmh':60,'altitude_m':10,'latitude_deg':31.234567,'longitude_deg':121.234567,"
    "'time':'2026-01-31T00:00:00Z','vehicle_status':['acc-on','fixed'],";
const std::string sign = "31323334353637 260131080000 01 03 00";
const std::string sign_json =
    "'alarm_sign':{'terminal_id':'1234567','time':'2026-01-31T00:00:00Z','sequence':1,"
    "'attachments':3,'reserved':'00'}";
const std::string long_sign =
    "313233343536370000000000000000000000000000000000000000000000 260131080000 01 03 0000";
const std::string long_sign_json =
    "'alarm_sign':{'terminal_id':'1234567','time':'2026-01-31T00:00:00Z','sequence':1,"
    "'attachments':3,'reserved':'0000'}";

}  // namespace

TEST_CASE("alarms of T/JSATL 12, with signs of Jiangsu and of Guangdong") {
  const std::string adas = "00000009 01 02 02 00 05 01 00 00" + place;
  const std::string adas_json =
      "'alarm_id':9,'phase':'start','type':'lane-departure','level':2,'front_speed_kmh':0,"
      "'front_distance_s':0.5,'deviation':'left','road_sign':'none','road_sign_value':0," +
      place_json;
  check_item(v2013, "64 2f" + adas + sign,
             "{'id':'0x64','name':'adas-alarm'," + adas_json + sign_json + "}");
  check_item(v2013, "64 47" + adas + long_sign,
             "{'id':'0x64','name':'adas-alarm','layout':'gd'," + adas_json + long_sign_json + "}");
  check_item(v2019, "64 47" + adas + long_sign,
             "{'id':'0x64','name':'adas-alarm','layout':'gd'," + adas_json + long_sign_json + "}");
  check_item(v2013, "65 2f 00000009 00 03 01 00 00000000" + place + sign,
             "{'id':'0x65','name':'dsm-alarm','alarm_id':9,'phase':'not-available',"
             "'type':'smoking','level':1,'fatigue_level':0,'reserved':'00000000'," +
                 place_json + sign_json + "}");
  check_item(v2013, "67 29 00000009 02 03" + place + sign,
             "{'id':'0x67','name':'bsd-alarm','alarm_id':9,'phase':'end',"
             "'type':'right-rear-approach'," +
                 place_json + sign_json + "}");
  // Others' numbers: no alarm of that size.
  check_item(v2013, "64 02 0102",
             "{'id':'0x64','name':'adas-alarm','offset':28,'bytes':'0102',"
             "'problem':'value does not fit'}");
}

TEST_CASE("tyre alarms with positions of one and of two bytes") {
  const std::string head = "00000009 00" + place + sign + "01";
  const std::string json = "'alarm_id':9,'phase':'not-available'," + place_json + sign_json +
                           ",'tyres':[{'position':3,'alarms':['pressure-low'],'pressure_kpa':250,"
                           "'temperature_c':-5,'battery_percent':90}]}";
  check_item(v2013, "66 32" + head + "03 0004 00fa fffb 005a",
             "{'id':'0x66','name':'tpms-alarm'," + json);
  check_item(v2013, "66 33" + head + "0003 0004 00fa fffb 005a",
             "{'id':'0x66','name':'tpms-alarm','layout':'odd'," + json);
}

TEST_CASE("other items of positions") {
  check_item(v2013, "02 02 8302", "{'id':'0x02','name':'fuel','fuel':77.0,'fuel_unit':'percent'}");
  check_item(v2019, "06 02 8005",
             "{'id':'0x06','name':'cabin-temperature','cabin_temperature_c':-5}");
  check_item(v2013, "11 01 00 11 05 01 00000007 11 05 00 00000000",
             "{'id':'0x11','name':'overspeed','area_type':'none'},"
             "{'id':'0x11','name':'overspeed','area_type':'circle','area_id':7},"
             "{'id':'0x11','name':'overspeed','layout':'odd','area_type':'none','area_id':0}");
  check_item(v2013, "18 02 0003 18 03 0001 05",
             "{'id':'0x18','name':'abnormal-driving','abnormal_driving':['fatigue','phone-call']},"
             "{'id':'0x18','name':'abnormal-driving','abnormal_driving':['fatigue'],"
             "'fatigue_level':5}");
  check_item(v2013, "eb 1a 000c 00b2 89860123456789012345 0004 002d 2ee0 0004 7777 0102",
             "{'id':'0xeb','name':'nested-items','nested':[{'id':'0x00b2','name':'iccid',"
             "'iccid':'89860123456789012345'},{'id':'0x002d','name':'voltage',"
             "'voltage_v':12.000},{'id':'0x7777','offset':50,'bytes':'0102'}]}");
}

TEST_CASE("asking for files of an alarm") {
  const std::string number = "4e4f000000000000000000000000000000000000000000000000000000000000";
  const std::string rest = "00000000000000000000000000000000";
  check(0x9208, v2013, "01 61 1f90 0000" + sign + number + rest,
        "{'address':'a','tcp_port':8080,'udp_port':0," + sign_json +
            ",'alarm_number':'NO','reserved':'" + rest + "'}");
  check(0x9208, v2019, "01 61 1f90 0000" + long_sign + number + rest,
        "{'address':'a','tcp_port':8080,'udp_port':0," + long_sign_json +
            ",'alarm_number':'NO','reserved':'" + rest + "'}");
  check(0x1210, v2013, "31323334353637" + sign + number + "00 01 01 66 00000400",
        "{'terminal_id':'1234567'," + sign_json +
            ",'alarm_number':'NO','reason':'normal','files':[{'file':'f','size_bytes':1024}]}");
  check(0x1212, v2013, "01 66 04 00000400", "{'file':'f','type':'other','size_bytes':1024}");
  check(0x1212, v2019, "01 66 04 00000400", "{'file':'f','type':'face-image','size_bytes':1024}");
  check(0x9212, v2013, "01 66 02 01 01 00010000 00000400",
        "{'file':'f','type':'video','result':'resend','gaps':[{'offset':65536,"
        "'size_bytes':1024}]}");
}

TEST_CASE("external systems in pass-through; other uses of those types stay bytes") {
  check(0x0900, v2013, "f7 01 64 05 01 00000401",
        "{'type':'peripheral-status','states':[{'id':'0x64','name':'adas','state':'normal',"
        "'faults':['camera','communication']}]}");
  check(0x0900, v2013, "f8 01 65 0c 01 41 01 42 01 43 01 44 01 45 01 46",
        "{'type':'peripheral-information','facts':[{'id':'0x65','name':'dsm','company':'A',"
        "'model':'B','hardware_version':'C','software_version':'D','device_id':'E',"
        "'customer':'F'}]}");
  check(0x0900, v2013, "f7 99 01", "{'layout':'odd','type':'peripheral-status','data':'9901'}");
  check(0x8900, v2013, "f7 02 64 66",
        "{'type':'peripheral-status','peripherals':['adas','tpms']}");
}

TEST_CASE("parameters of T/JSATL 12: all ones mean as it is") {
  const std::string camera = "1e 06 00 ffff 0064 03 02 01 05";
  const std::string camera_json =
      "'alarm_speed_kmh':30,'volume':6,'photo_strategy':'off','photo_interval_s':null,"
      "'photo_distance_m':100,'photos':3,'photo_gap_s':0.2,'photo_resolution':'352x288',"
      "'video_resolution':'vga',";
  const std::string recording = "32 05 03 02";
  const std::string recording_json = "'speed_kmh':50,'video_s':5,'photos':3,'photo_gap_s':0.2}";
  const std::string timed_json = ":{'threshold_s':2.7," + recording_json;
  check(0x8103, v2013,
        "01 0000f364 38" + camera + "00010003 00000003 00" + "1b" + recording + "3c 03" +
            recording + recording + "1b" + recording + "1b" + recording + "1b" + recording +
            "ff ff 00000000",
        "{'parameters':[{'id':'0xf364','name':'adas'," + camera_json +
            "'alarms_enabled':['obstacle-1','obstacle-2','traffic-sign-exceeded'],"
            "'events_enabled':['traffic-sign-recognized','snapshot'],'reserved':'00','obstacle'" +
            timed_json + ",'frequent_lane_changes':{'window_s':60,'times':3," + recording_json +
            ",'lane_departure':{" + recording_json + ",'forward_collision'" + timed_json +
            ",'pedestrian_collision'" + timed_json + ",'headway'" + timed_json +
            ",'traffic_sign':{'photos':null,'photo_gap_s':null},'reserved_2':'00000000'}]}");
  check(0x8103, v2013,
        "01 0000f365 31" + camera + "00000003 00000001 00b4 0078 000000" + recording + recording +
            recording + recording + recording + "01 0000",
        "{'parameters':[{'id':'0xf365','name':'dsm'," + camera_json +
            "'alarms_enabled':['fatigue-1','fatigue-2'],'events_enabled':['driver-changed'],"
            "'smoking_interval_s':180,'phone_call_interval_s':120,'reserved':'000000','fatigue':{" +
            recording_json + ",'phone_call':{" + recording_json + ",'smoking':{" + recording_json +
            ",'distraction':{" + recording_json + ",'driver_abnormal':{" + recording_json +
            ",'driver_identification':'timer','reserved_2':'0000'}]}");
  check(0x8103, v2013,
        "02 0000f366 24 393030523230000000000000 0003 008c 0014 0005 006e 00bd 0050 000a 003c"
        "000000000000 0000f367 02 04 ff",
        "{'parameters':[{'id':'0xf366','name':'tpms','tyre_model':'900R20',"
        "'pressure_unit':'psi','normal_pressure':140,'imbalance_percent':20,"
        "'slow_leak_percent':5,'low_pressure':110,'high_pressure':189,'high_temperature_c':80,"
        "'low_battery_percent':10,'report_interval_s':60,'reserved':'000000000000'},"
        "{'id':'0xf367','name':'bsd','rear_approach_s':4,'side_rear_approach_s':null}]}");
}

TEST_CASE("parameters that are more than one number") {
  check(0x8103, v2013,
        "04 0000005d 02 0a05 00000064 04 003d0101 00000110 08 000003e8 e0000123"
        "0000007c 14 02 04 1f 01 0800180000000000 0000000000000000",
        "{'parameters':[{'id':'0x005d','name':'collision-alarm','time_4ms':5,"
        "'acceleration_g':1.0},{'id':'0x0064','name':'timed-photos',"
        "'channels':['channel-1','upload-channel-1'],'unit':'min','interval':30},"
        "{'id':'0x0110','name':'can-id','interval_ms':1000,"
        "'flags':['average','extended-id','channel-2'],'can_id':291},{'id':'0x007c',"
        "'name':'sleep-and-wake','modes':['timer'],'conditions':['door-opened'],'weekdays':"
        "['monday','tuesday','wednesday','thursday','friday'],'periods_enabled':['period-1'],"
        "'periods':[{'wake_hhmm':'0800','sleep_hhmm':'1800'},{'wake_hhmm':'0000',"
        "'sleep_hhmm':'0000'},{'wake_hhmm':'0000','sleep_hhmm':'0000'},{'wake_hhmm':'0000',"
        "'sleep_hhmm':'0000'}]}]}");
  check(0x8103, v2019, "01 0000005d 02 0a05",
        "{'parameters':[{'id':'0x005d','name':'collision-alarm','time_ms':5,"
        "'acceleration_g':1.0}]}");
  check(0x0104, v2013, "0007 01 00000090 04 00000003",
        "{'reply_serial':7,'parameters':[{'id':'0x0090','name':'gnss-modes','layout':'odd',"
        "'modes':['gps','beidou']}]}");
  const Raw secret = spaced("01 00000012 02 7077");
  CHECK(shown(0x8103, v2013, secret, false) ==
        R"({"parameters":[{"id":"0x0012","name":"main-server-dial-password","text":"**"}]})");
}

TEST_CASE("a public terminal's parameters and recordings, put together from their packets") {
  const auto joined = [](std::uint16_t id) {
    std::ifstream file(RG_JT808_FRAMES);
    std::string line;
    Raw out;
    while (std::getline(file, line)) {
      if (line.empty() || line[0] == '#') continue;
      const Raw frame = events_of(hex(line)).at(0).frame;
      Header header;
      REQUIRE(parse_header(frame, header) == BadReason::none);
      if (header.message_id != id || !header.fragment()) continue;
      out.insert(out.end(), frame.begin() + header.size, frame.end());
    }
    return out;
  };
  const auto contains = [](const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
  };
  const std::string parameters = shown(0x0104, v2013, joined(0x0104));
  CAPTURE(parameters);
  CHECK(contains(parameters, R"("name":"main-server-address","text":"183.230.82.18")"));
  CHECK(contains(parameters, R"("name":"plate","text":"渝D5F001")"));
  CHECK(contains(parameters,
                 R"("name":"audio-and-video","live":{"mode":"variable","resolution":"cif",)"
                 R"("key_frame_interval_frames":8,"frame_rate_fps":8,"bit_rate_kbps":192})"));
  CHECK(contains(parameters, R"({"channel":7,"live":{"mode":"variable","resolution":"cif",)"
                             R"("key_frame_interval_frames":25,"frame_rate_fps":0,)"));
  // The terminal's 0x0077 runs on behind its length: what follows are no parameters, and is kept.
  CHECK(contains(parameters, R"({"id":"0x0000","offset":967,"bytes":""})"));
  CHECK(contains(parameters, R"("unparsed":{"offset":987,)"));
  CHECK_FALSE(contains(parameters, "problem"));
  const std::string recordings = shown(0x1205, v2013, joined(0x1205));
  CHECK_FALSE(contains(recordings, "unparsed"));
  CHECK_FALSE(contains(recordings, "_count"));
  CHECK(contains(recordings, R"("start":"2020-07-16T16:00:00Z","end":"2020-07-16T16:00:35Z")"));
}

TEST_CASE("commands need no more than what they are about") {
  const auto encoded = [](std::uint16_t id, Version version, std::string_view json) {
    const auto body = encode_body(*find_message(id), version, json);
    return body ? to_hex(*body) : body.error().message;
  };
  CHECK(encoded(0x8801, v2013, R"({"channel":1})") == "010001000000020580404080");
  CHECK(encoded(0x8300, v2019, R"({"flags":["tts"],"text":"A"})") == "080141");
  CHECK(encoded(0x9101, v2013, R"({"address":"a","tcp_port":1078,"channel":1})") ==
        "016104360000010000");
  CHECK(encoded(0x9205, v2013, "{}") == std::string(48, '0'));
  CHECK(encoded(0x8600, v2019,
                R"({"operation":"append","areas":[{"area_id":1,"latitude_deg":31.234567,)"
                R"("longitude_deg":121.234567,"radius_m":200}]})") ==
        "010100000001000001dc9a070739e487000000c80000");
  CHECK(encoded(0x8105, v2013, R"({"command":"reset"})") == "04");
  CHECK(encoded(0x8203, v2013, R"({"alarms":["sos"]})") == "000000000001");
  CHECK(encoded(0x8103, v2013, R"({"parameters":[{"name":"heartbeat-interval","value_s":30}]})") ==
        "0100000001040000001e");
}
