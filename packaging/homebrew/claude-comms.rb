# For a tap; packaging/homebrew/formula fills in what stands between the @.
class ClaudeComms < Formula
  desc "Dependable messages and tasks between AI coding agents on one machine"
  homepage "@HOMEPAGE@"
  url "@URL@"
  sha256 "@SHA256@"
  license any_of: ["MIT", "Apache-2.0"]

  depends_on "rust" => :build
  # The processes of tasks are supervised with pidfd.
  depends_on :linux

  def install
    system "cargo", "build", "--release", "--locked"
    with_env(PREFIX: prefix.to_s, BASHDIR: bash_completion.to_s, ZSHDIR: zsh_completion.to_s, FISHDIR: fish_completion.to_s) do
      system "packaging/install"
    end
  end

  service do
    run [opt_bin/"claude-comms", "daemon"]
    keep_alive successful_exit: false
    process_type :background
    environment_variables PATH: "#{Dir.home}/.local/bin:#{std_service_path_env}"
    error_log_path var/"log/claude-comms.log"
  end

  test do
    comms = "#{bin}/claude-comms --state-dir #{testpath}/state"
    system "#{comms} poll start --listen none"
    system "#{comms} pool create mirror --executor echo"
    assert_equal "hello", shell_output("#{comms} pool run mirror hello").chomp
  ensure
    system "#{comms} poll stop"
  end
end
