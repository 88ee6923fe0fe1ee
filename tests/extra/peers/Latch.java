// SPDX-License-Identifier: Apache-2.0

import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;

import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.retry.ExponentialBackoffRetry;
import sun.misc.Signal;

/*
 * An agent over Curator's LeaderLatch, see curator_peer.py.
 *
 *	Latch SERVERS PATH NAME TIMEOUT_MS WORK_LOG -|COMMAND...
 *
 * `-`: the work is a thread of this process. SIGUSR1 gives the leadership back, SIGTERM stops.
 */
public class Latch {
	static final int BEAT_MS = 2;
	/* by which CLOCK_BOOTTIME is ahead of nanoTime's CLOCK_MONOTONIC */
	static final long AHEAD_NS = Long.getLong("ahead", 0);

	interface Work {
		void start() throws Exception;

		void stop() throws Exception;
	}

	/* The lines of beat.c, written by a thread. */
	static class Inside implements Work {
		private final FileOutputStream log;
		private final String name;
		private volatile boolean ended;
		private Thread thread;
		private int lives;

		Inside(String path, String name) throws IOException {
			this.log = new FileOutputStream(path, true);
			this.name = name;
		}

		public void start() {
			String life = ProcessHandle.current().pid() + "." + ++lives;
			ended = false;
			thread = new Thread(() -> run(life));
			thread.start();
		}

		private void run(String life) {
			try {
				for (boolean last = false; !last; Thread.sleep(BEAT_MS)) {
					last = ended;
					String line = name + " " + life + " " + (System.nanoTime() + AHEAD_NS) + "\n";
					log.write(line.getBytes(StandardCharsets.US_ASCII));
				}
			} catch (IOException | InterruptedException e) {
				throw new RuntimeException(e);
			}
		}

		public void stop() throws Exception {
			ended = true;
			thread.join();
		}
	}

	/* A child process. */
	static class Child implements Work {
		private final List<String> command;
		private Process process;

		Child(List<String> command) {
			this.command = command;
		}

		public void start() throws Exception {
			process = new ProcessBuilder(command).inheritIO().start();
		}

		public void stop() throws Exception {
			process.destroy();
			process.waitFor();
		}
	}

	/* Starts and stops the work, each once. */
	static class Leadership implements LeaderLatchListener {
		private final Work work;
		private boolean working;
		private boolean closing;

		Leadership(Work work) {
			this.work = work;
		}

		public void isLeader() {
			set(true);
		}

		public void notLeader() {
			set(false);
		}

		synchronized void close() {
			set(false);
			closing = true;
		}

		private synchronized void set(boolean lead) {
			if (lead == working || closing)
				return;
			try {
				if (lead)
					work.start();
				else
					work.stop();
				working = lead;
			} catch (Exception e) {
				e.printStackTrace();
				Runtime.getRuntime().halt(1);
			}
		}
	}

	private final CuratorFramework client;
	private final String path, name;
	private final Work work;
	private LeaderLatch latch;
	private Leadership leadership;

	Latch(CuratorFramework client, String path, String name, Work work) {
		this.client = client;
		this.path = path;
		this.name = name;
		this.work = work;
	}

	synchronized void open() throws Exception {
		leadership = new Leadership(work);
		latch = new LeaderLatch(client, path, name);
		latch.addListener(leadership);
		latch.start();
	}

	synchronized void close() throws Exception {
		leadership.close();
		latch.close();
	}

	/* A closed latch cannot be started again: a new one stands in line. */
	synchronized void giveBack() {
		try {
			close();
			open();
		} catch (Exception e) {
			e.printStackTrace();
		}
	}

	public static void main(String[] args) throws Exception {
		int timeoutMs = Integer.parseInt(args[3]);
		CuratorFramework client = CuratorFrameworkFactory.newClient(args[0], timeoutMs, timeoutMs / 2,
				new ExponentialBackoffRetry(1000, 3));
		Work work = args[5].equals("-") ? new Inside(args[4], args[2])
				: new Child(Arrays.asList(args).subList(5, args.length));
		Latch latch = new Latch(client, args[1], args[2], work);
		CountDownLatch end = new CountDownLatch(1);

		client.start();
		latch.open();
		Signal.handle(new Signal("USR1"), signal -> new Thread(latch::giveBack).start());
		Signal.handle(new Signal("TERM"), signal -> end.countDown());
		end.await();
		latch.close();
		client.close();
		System.exit(0);
	}
}
