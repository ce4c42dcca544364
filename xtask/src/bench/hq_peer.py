# One job in a local HyperQueue, as `cargo xtask bench` times it: FILE (a workflow of ours, in JSON) and CORES.
# Prints the milliseconds from the submit until the last task has ended; starting the cluster is not counted.
import json, os, sys, tempfile, time
from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

def program(job, name, depends=()):
    return job.program(["sh", "-c", "true"], name=name, stdout=None, stderr=None, deps=list(depends))

def timed(client, tasks):
    start = time.perf_counter()
    job, made = Job(), {}
    for task in tasks:
        made[task["name"]] = program(job, task["name"], [made[name] for name in task.get("depends", [])])
    client.wait_for_jobs([client.submit(job)])
    return (time.perf_counter() - start) * 1e3

with open(sys.argv[1]) as file:
    tasks = json.load(file)
os.chdir(tempfile.mkdtemp())
# The server tells of itself on standard output, past Python.
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
with LocalCluster() as cluster:
    cluster.start_worker(WorkerConfig(cores=int(sys.argv[2])))
    client = cluster.client()
    timed(client, [{"name": "warm"}])
    took = timed(client, tasks)
print(took, file=answer, flush=True)
