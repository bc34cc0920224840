"""The words of signing in and of the account page, in both languages."""

from __future__ import annotations

from collections.abc import Mapping

from ingest.console.words import Language

_WORDS: dict[str, tuple[str, str]] = {
    "sign-in-lead": ("用您的操作员名称登录。", "Sign in with your operator's name."),
    "name": ("名称", "Name"),
    "password": ("密码", "Password"),
    "forgot": (
        "忘记密码？请管理员为您生成新的登录链接。",
        "No password, or lost it? An administrator gives you a link to choose one.",
    ),
    "wrong": ("名称或密码不对。", "Name or password is not right."),
    "wrong-mend": (
        "请核对大小写与输入法；密码不会显示在任何地方。",
        "Check upper and lower case, and the keyboard's language.",
    ),
    "wrong-code": ("验证码不对，或已用过。", "The code is not right, or was used before."),
    "wrong-code-mend": (
        "请输入手机上当前显示的六位数字，并检查手机时间是否准确。",
        "Type the six digits that the phone shows now; its clock has to be right.",
    ),
    "held": ("尝试次数过多。", "Too many attempts."),
    "held-mend": (
        "请在 15 分钟后再试。您的账户没有被锁定，其他地方的登录不受影响。",
        "Try again in 15 minutes. The account is not locked: signing in from elsewhere goes on working.",
    ),
    "over": ("登录已过期，请重新输入密码。", "That took too long: please begin with your password again."),
    "code-title": ("两步验证", "Second step"),
    "code-lead": ("输入验证器应用显示的六位数字。", "Type the six digits that your authenticator shows."),
    "code": ("验证码", "Code"),
    "code-hint": ("手机不在身边？输入一个恢复码。", "Phone lost? Type one of your recovery codes."),
    "continue": ("继续", "Continue"),
    "back-to-sign-in": ("返回登录", "Back to sign-in"),
    "welcome-title": ("{name}，欢迎", "Welcome, {name}"),
    "welcome-lead": ("设置您的密码。此链接只能使用一次。", "Choose your password. This link works once."),
    "new-password": ("新密码", "New password"),
    "new-password-hint": (
        "至少 12 个字符，例如几个不相干的词。",
        "At least 12 characters: some words that have nothing to do with each other.",
    ),
    "repeat": ("再输入一次", "Once more"),
    "repeat-fault": ("两次输入不一致。", "The two are not the same."),
    "weak-short": ("太短：至少 12 个字符。", "Too short: take at least 12 characters."),
    "weak-long": ("太长：至多 256 个字符。", "Too long: take at most 256 characters."),
    "weak-name": ("密码不能包含您的名称或产品名。", "It holds your name or that of the product."),
    "weak-common": ("这类密码太常见，容易被猜到。", "Passwords like this are guessed first."),
    "set-password": ("设置密码并登录", "Choose and sign in"),
    "link-over": ("此链接已失效", "This link counts no more"),
    "link-over-text": (
        "它已被使用、被新链接取代，或已超过 24 小时。请管理员再生成一个。",
        "It was used, a newer one replaced it, or a day has passed. Ask an administrator for another.",
    ),
    "refused": ("没有执行任何操作", "Nothing was done"),
    "refused-text": (
        "这个表单不是在您当前的会话中打开的（可能已重新登录，或页面停留过久）。请返回，刷新页面后再提交一次。",
        "This form was not opened in the session you are in: you may have signed in again meanwhile, or the page stood "
        "for long. Go back, load the page again, and send it once more.",
    ),
    "account": ("我的账户", "Account"),
    "account-lead": (
        "您的密码、两步验证与已登录的设备。",
        "Your password, second step, and where you are signed in.",
    ),
    "roles": ("角色", "Roles"),
    "sites": ("园区", "Sites"),
    "password-since": ("上次更改", "Changed"),
    "change-password": ("更改密码", "Change password"),
    "old-password": ("现在的密码", "Your password now"),
    "old-password-fault": ("现在的密码不对。", "That is not your password."),
    "change-password-note": ("更改后，其他设备上的会话立即结束。", "Your sessions elsewhere end at once."),
    "save": ("保存", "Save"),
    "second-step": ("两步验证", "Second step"),
    "second-on": ("已启用", "on"),
    "second-off": ("未启用", "off"),
    "second-off-note": (
        "启用后，登录时除密码外还需手机上的一次性验证码。密码泄露也无法登录。",
        "With it, signing in takes a code of your phone beside the password: a stolen password alone is worth nothing.",
    ),
    "second-warning": (
        "您的角色可以批准或管理账目，请启用两步验证。",
        "Your roles approve or administer: please set up the second step.",
    ),
    "second-set": ("启用两步验证", "Set up the second step"),
    "second-drop": ("停用", "Turn off"),
    "second-since": ("启用于", "Since"),
    "recovery-left": ("剩余恢复码", "Recovery codes left"),
    "set-lead": (
        "用验证器应用（如 Aegis、微软或谷歌验证器）扫描二维码，然后输入它显示的六位数字。",
        "Scan the picture with an authenticator app, then type the six digits it shows.",
    ),
    "set-by-hand": ("无法扫描？手动输入密钥", "Cannot scan? Type this key"),
    "recovery-title": ("保存恢复码", "Keep your recovery codes"),
    "recovery-lead": (
        "手机丢失时，每个恢复码可代替一次验证码。它们只显示这一次，请打印或抄下来妥善保管。",
        "Should the phone be lost, each of them stands in for a code once. They are shown this once: print them or "
        "write them down, and keep them where your password is not.",
    ),
    "recovery-done": ("我已保存", "I have kept them"),
    "devices": ("已登录的设备", "Where you are signed in"),
    "this-device": ("当前", "this one"),
    "signed-in-at": ("登录于 {at}", "signed in {at}"),
    "seen-at": ("最近操作 {at}", "last call {at}"),
    "end": ("结束", "End"),
    "end-others": ("结束其他所有会话", "End all others"),
    "session-limits": (
        "30 分钟无操作或登录满 12 小时后自动退出。",
        "A session ends after 30 minutes without a call, and after 12 hours in any case.",
    ),
    "not-a-person": ("令牌没有账户页", "A token has no account"),
    "told-password": ("密码已更改，其他会话已结束", "Password changed; sessions elsewhere ended"),
    "told-second-dropped": ("两步验证已停用", "Second step turned off"),
    "told-ended": ("会话已结束", "Ended"),
    "told-recovery": ("已用一个恢复码登录，请检查剩余数量", "Signed in with a recovery code; see how many are left"),
    "told-out": ("您已退出登录", "You have signed out"),
}


def sign_in_words(language: Language) -> Mapping[str, str]:
    """Give the words of these pages."""
    position = 0 if language is Language.ZH else 1
    return {key: pair[position] for key, pair in _WORDS.items()}
