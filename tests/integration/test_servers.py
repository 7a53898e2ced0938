"""The servers that other tests use: they start, forget, are killed and come back."""

import unittest

import servers


class Servers(unittest.TestCase):
    def test_redis_with_a_password(self):
        with servers.Redis(password="secret") as redis:
            self.assertEqual(redis.cli("set", "a", "1"), "OK")
            redis.kill()
            redis.start()
            self.assertEqual(redis.cli("get", "a"), "")
            redis.freeze()
            redis.go_on()
            self.assertEqual(redis.cli("ping"), "PONG")

    def test_redis_cluster(self):
        with servers.RedisCluster() as cluster:
            self.assertEqual(cluster.nodes[1].cli("set", "a", "1"), "OK")
            self.assertEqual(cluster.nodes[2].cli("get", "a"), "1")

    def test_nats_has_jetstream(self):
        with servers.Nats() as nats:
            self.assertIn("memory", nats.monitor("/jsz"))
            nats.kill()
            nats.start(empty=True)
            self.assertEqual(nats.monitor("/jsz")["streams"], 0)

    def test_nats_cluster_chooses_another_leader(self):
        with servers.NatsCluster() as cluster:
            leader = cluster.nodes[0].monitor("/jsz")["meta_cluster"]["leader"]
            index = int(leader.rpartition("-")[2])
            cluster.nodes[index].kill()
            others = [node for node in cluster.nodes if node.index != index]
            servers.wait_until(
                lambda: others[0].monitor("/jsz")["meta_cluster"].get("leader") not in
                (None, leader), "there is another leader")

    def test_postgres_keeps_and_forgets(self):
        with servers.Postgres(password="it's") as postgres:
            postgres.query("create table t (a int); insert into t values (7)")
            postgres.kill()
            postgres.start()
            self.assertEqual(postgres.query("select a, a + 1 from t"), [["7", "8"]])
            postgres.stop()
            postgres.start(empty=True)
            self.assertNotEqual(postgres.psql("select * from t")[0], 0)

    def test_small_disk(self):
        with servers.SmallDisk(4) as disk:
            disk.fill()
            with self.assertRaises(OSError):
                (disk.path / "more").write_bytes(bytes(8192))
            disk.free()
            (disk.path / "more").write_bytes(bytes(8192))


if __name__ == "__main__":
    unittest.main()
