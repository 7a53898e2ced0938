"""This gateway beside another build of it: did a change cost something? Needs --against FILE."""

from measuring import alternate, measure, median, ratios, show_ratio

CASES = (("1,000 x 1", ("--in-flight", "1")), ("1,000 x 16", ("--in-flight", "16")),
         ("20,000/s open", ("--rate", "20")))
LABELS = (("cpu_us", "CPU per ack"), ("p50_us", "p50"), ("p99_us", "p99"))


def run(settings):
    results = {}
    for name, extra in CASES:
        def once(kind):
            return measure(settings, kind, 1000, extra)
        results[name] = alternate(settings, ("ringgate", "other"), once, f"against {name}")
    return results


def show(results):
    print("this gateway / the other one, median of the rounds (lowest-highest)")
    for name, rounds in results.items():
        cells = [f"{label} {show_ratio(ratios(rounds, 'ringgate', 'other', key))}"
                 for key, label in LABELS]
        cpu = [median([each[kind]["cpu_us"] for each in rounds]) for kind in ("ringgate", "other")]
        print(f"  {name:<16}" + "   ".join(cells) + f"   {cpu[0]:.2f} / {cpu[1]:.2f} us")
