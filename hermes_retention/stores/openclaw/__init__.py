"""Homes of Clawdbot, Moltbot and OpenClaw: an index and transcripts for each agent."""
