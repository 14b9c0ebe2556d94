"""Words and sentence frames of the synthetic corpus, one ``Grammar`` a language; how they are used is in ``synthetic``.

A list is one string with ``|`` between the entries, the most frequent first; blanks around an entry do not count.

What a text must keep to (the tests check it): a word or clause is a cue of one emotion only, a negated frame takes back
the first cue that follows its negation, and neutral and ambiguous clauses hold no cue.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ARABIC", "CHINESE", "EMOJI", "ENGLISH", "Cues", "Frames", "Grammar"]


def _entries(text: str) -> tuple[str, ...]:
    return tuple(" ".join(entry.split()) for entry in text.split("|"))


class Cues:
    """What expresses one emotion, whoever feels it: words, which need a frame of their kind, and whole clauses."""

    def __init__(self, adjectives: str, nouns: str, clauses: str) -> None:
        self.words = {"adjective": _entries(adjectives), "noun": _entries(nouns)}
        self.clauses = _entries(clauses)


class Frames:
    """Clauses with a place for a cue.

    Args:
        plain: The emotion of ``{cue}`` is expressed.
        negated: The emotion of ``{cue}`` is not expressed.
        contrasted: The emotion of ``{cue}`` is expressed, that of ``{other}`` is not.
    """

    def __init__(self, plain: str, negated: str, contrasted: str) -> None:
        self.plain = _entries(plain)
        self.negated = _entries(negated)
        self.contrasted = _entries(contrasted)


@dataclass(frozen=True)
class Grammar:
    """All that sentences of one language are made of.

    Args:
        cues: The cues of each emotion, by label name.
        frames: The frames for adjectives and for nouns.
        ambiguous: Clauses that go with several emotions and decide none, each with those emotions.
        neutral: Clauses without emotion.
        slots: What may stand for each other ``{slot}`` of a frame or clause.
        openers: What may stand before the first clause.
        joints: What may stand between two clauses.
        endings: What may stand after the last clause.
        blank: What stands between two words.
    """

    cues: dict[str, Cues]
    frames: dict[str, Frames]
    ambiguous: dict[str, frozenset[str]]
    neutral: tuple[str, ...]
    slots: dict[str, tuple[str, ...]]
    openers: tuple[str, ...]
    joints: tuple[str, ...]
    endings: tuple[str, ...]
    blank: str = " "


#: In every language; an emoji goes with a clause that says the same.
EMOJI = {
    "joy": "😊😄🥳😁",
    "sadness": "😢😔💔😞",
    "anger": "😠😡🤬👿",
    "love": "😍💕🥰💘",
    "fear": "😨😰😖🙀",
    "anticipation": "🤞⏳🤩👀",
    "disgust": "🤢🤮",
    "surprise": "😮😲🤯😯",
}

# English --------------------------------------------------------------------------------------------------------------

ENGLISH = Grammar(
    cues={
        "joy": Cues(
            "happy | glad | cheerful | delighted | joyful | overjoyed | merry | elated | blissful | jolly",
            "joy | happiness | delight | bliss | gladness | cheer",
            """this made my day | I cannot stop smiling | I could not be happier | tears of joy ran down my face
            | life is beautiful | we are dancing in the kitchen | I am over the moon | I am laughing out loud""",
        ),
        "sadness": Cues(
            "sad | unhappy | miserable | gloomy | heartbroken | depressed | lonely | sorrowful | mournful | downcast",
            "sadness | grief | sorrow | misery | despair | gloom",
            """my heart is broken | I cried all night | I am dying inside | tears of grief ran down my face
            | the house feels so empty now | everything looks grey | I cannot get out of bed | I miss the old days""",
        ),
        "anger": Cues(
            "angry | furious | mad | outraged | irritated | livid | enraged | annoyed | resentful | irate",
            "anger | rage | fury | outrage | resentment | irritation",
            """I am shaking with rage | my blood is boiling | I want to smash the door | how dare they
            | I have had enough of their lies | I am mad at everyone | this is an insult | I am about to explode""",
        ),
        "love": Cues(
            """in love | smitten | affectionate | devoted | infatuated | enamoured | lovesick | tender | adoring
            | besotted""",
            "love | affection | tenderness | adoration | devotion | fondness",
            """I am mad about you | I adore my little family | you mean the world to me | my heart belongs to you
            | I want to hold you forever | I cherish every minute with you | I cannot live without you
            | you are the one""",
        ),
        "fear": Cues(
            "afraid | scared | terrified | frightened | fearful | anxious | petrified | worried | panicky | uneasy",
            "fear | terror | panic | dread | anxiety | fright",
            """I am shaking with fear | nightmares keep me awake | my hair stands on end | I broke out in a cold sweat
            | I want to hide under the bed | I do not dare to open the door | my knees are trembling
            | something bad is about to happen""",
        ),
        "anticipation": Cues(
            """eager | hopeful | expectant | keen | curious | excited | impatient | optimistic | enthusiastic
            | intrigued""",
            "anticipation | expectation | hope | eagerness | curiosity | suspense",
            """I cannot wait for the weekend | I am looking forward to it | I am counting the days
            | I am dying to see it | only three more days to go | our bags are packed already
            | tomorrow will be the big day | fingers crossed for tomorrow""",
        ),
        "disgust": Cues(
            """disgusted | revolted | nauseated | sickened | repulsed | grossed out | appalled | repelled | queasy
            | squeamish""",
            "disgust | revulsion | nausea | loathing | aversion | repugnance",
            """this makes my stomach turn | I am sick of the smell | I cannot stand the sight of it | how gross
            | I want to throw up | what a filthy mess | that is simply vile | it left a foul taste in my mouth""",
        ),
        "surprise": Cues(
            """surprised | astonished | amazed | shocked | stunned | startled | astounded | dumbfounded | bewildered
            | taken aback""",
            "surprise | astonishment | amazement | shock | disbelief | bewilderment",
            """I did not see that coming | I cannot believe my eyes | who would have thought | my jaw dropped
            | that came out of nowhere | what an unexpected twist | I was not expecting this | wow what a plot twist""",
        ),
    },
    frames={
        "adjective": Frames(
            plain="""I am {very}{cue} | I feel {very}{cue} about {topic} | {topic} makes me {very}{cue}
            | we are all {very}{cue} | {topic} left me {very}{cue} | my sister is {very}{cue} because of {topic}
            | I am {very}{cue} again | my friends look {very}{cue} | nobody is as {cue} as I am
            | I have never been so {cue}""",
            negated="""I am not {cue} | I am not {cue} at all | I am no longer {cue} about {topic}
            | {topic} does not make me {cue} | I was never {cue} about {topic} | I am anything but {cue}
            | nobody here is {cue} | my sister is far from {cue} | I used to be {cue} about {topic}
            | my friends do not look {cue}""",
            contrasted="""I am not {other} but {cue} | I am {very}{cue} and not {other}
            | I feel {cue} rather than {other} | {topic} makes me {cue} instead of {other}
            | I used to be {other} and now I am {cue} | instead of {other} I am {very}{cue}""",
        ),
        "noun": Frames(
            plain="""I am full of {cue} | I feel nothing but {cue} | {topic} fills me with {cue} | all I feel is {cue}
            | there is so much {cue} in me | pure {cue} came over me | we look at {topic} with {cue}
            | {topic} caused a lot of {cue}""",
            negated="""I feel no {cue} | there is not a trace of {cue} in me | {topic} brings me no {cue}
            | I am free of {cue} | we look at {topic} without any {cue} | all the {cue} is gone
            | {topic} did not cause any {cue}""",
            contrasted="""I feel {cue} and no {other} | I feel no {other} but a lot of {cue}
            | I am full of {cue} instead of {other} | instead of {other} I feel {cue}
            | {topic} brings {cue} rather than {other}""",
        ),
    },
    ambiguous={
        "I am crying": frozenset({"joy", "sadness", "love"}),
        "my heart is racing": frozenset({"love", "fear", "anticipation"}),
        "I am speechless": frozenset({"joy", "anger", "surprise"}),
        "I am shaking": frozenset({"anger", "fear"}),
        "I cannot sleep": frozenset({"sadness", "fear", "love", "anticipation"}),
        "I cannot believe it": frozenset({"joy", "anger", "surprise"}),
        "I want to scream": frozenset({"joy", "anger", "fear", "disgust"}),
        "this is sick": frozenset({"joy", "disgust", "surprise"}),
    },
    neutral=_entries("""{person} {action} {when} | {when} {person} {action} | {person} {action} because of {topic}
        | {topic} was the subject of the meeting {when} | we talked about {topic} {when}"""),
    slots={
        "very": ("", "", "very ", "so ", "really ", "quite ", "a bit ", "totally "),
        "topic": _entries("""the news | this film | the match | the new job | my exam | the wedding | the letter
            | the trip | this song | the decision | your message | the party | the weather | the food here
            | the new teacher | the election"""),
        "person": _entries("""my neighbour | the driver | my brother | the teacher | a colleague | the clerk
            | the manager | my uncle | the doctor | a student | the waiter | somebody | the plumber | my cousin"""),
        "action": _entries("""bought a chair | read the report | waited at the station | wrote a short note
            | opened the shop | drank a cup of tea | took the bus | closed the window | sorted the books
            | asked for the address | went home | washed the car | called the office | moved the table | paid the bill
            | watered the plants"""),
        "when": _entries("""this morning | on Monday | after lunch | before noon | in the evening | yesterday | at nine
            | as usual | a while ago | after work | last weekend | on the way back"""),
    },
    openers=("", "", "", "well, ", "honestly, ", "ok, ", "so, "),
    joints=(". ", ". ", "! ", ", and ", ", but ", "; ", ", while ", ", "),
    endings=("", ".", ".", "!", "...", "!!"),
)

# Arabic: speakers in the first person are men; a frame writes the feminine ending itself ("{cue}ة"), so all adjectives
# take that ending, and topics are masculine. Nouns are listed without article. --------------------------------------

ARABIC = Grammar(
    cues={
        "joy": Cues(
            "سعيد | مسرور | مبتهج | فرح | مبسوط | مرح | مستمتع | مغتبط",
            "سعادة | فرح | بهجة | سرور | مرح | غبطة",
            """لا أستطيع التوقف عن الابتسام | دموع الفرح تملأ عيني | الحياة جميلة | نرقص في المطبخ | ضحكت من كل قلبي
            | هذا أجمل يوم في حياتي | أكاد أطير فوق السحاب | لا شيء أحلى من هذا""",
        ),
        "sadness": Cues(
            "حزين | كئيب | مكتئب | مهموم | بائس | تعيس | يائس | محبط",
            "حزن | كآبة | أسى | تعاسة | يأس | إحباط",
            """انكسر قلبي | بكيت طوال الليل | دموع الحزن تملأ عيني | كل شيء يبدو رماديا | البيت فارغ من بعدهم
            | ضاق صدري من الوحدة | أبكي على ما ضاع | لا طعم للحياة بعدهم""",
        ),
        "anger": Cues(
            "غاضب | ساخط | حانق | مستاء | ثائر | منفعل | مغتاظ | ناقم",
            "غضب | سخط | غيظ | حنق | استياء | نقمة",
            """أرتجف من الغضب | دمي يغلي في عروقي | نفد صبري تماما | كيف يجرؤون على ذلك | سأنفجر في وجوههم
            | أريد أن أكسر الباب | هذه إهانة لا تغتفر | طفح الكيل""",
        ),
        "love": Cues(
            "عاشق | مغرم | متيم | محب | مولع | هائم | مشتاق | متعلق",
            "حب | عشق | غرام | هيام | مودة | حنان",
            """أحبك من كل قلبي | أنت حياتي كلها | قلبي ملك لك | أموت في هواك | أريد أن أضمك إلى الأبد
            | أعشق عائلتي الصغيرة | لا أستطيع العيش بدونك | لا أرى في الدنيا سواك""",
        ),
        "fear": Cues(
            "خائف | مرعوب | مذعور | فزع | قلق | متوجس | مرتعب | متوتر",
            "خوف | رعب | ذعر | فزع | قلق | هلع",
            """أرتجف من الخوف | الكوابيس لا تتركني | تجمد الدم في عروقي | قلبي يكاد يتوقف من الرعب
            | أريد أن أختبئ تحت السرير | لا أجرؤ على فتح الباب | سيحدث شيء سيئ | يرتعد جسدي من كل صوت""",
        ),
        "anticipation": Cues(
            "متحمس | متفائل | مترقب | متلهف | متشوق | متطلع | مستعد | فضولي",
            "ترقب | أمل | تفاؤل | لهفة | حماس | فضول",
            """أعد الأيام حتى العيد | لا أطيق الانتظار حتى الغد | أنتظر الموعد بفارغ الصبر | غدا يومنا الكبير
            | بقيت ثلاثة أيام فقط | حقيبتي جاهزة للرحلة | أتطلع إلى الأسبوع القادم | قريبا سيتحقق الحلم""",
        ),
        "disgust": Cues(
            "مشمئز | متقزز | قرفان | نافر | متأفف | كاره | ممتعض",
            "اشمئزاز | تقزز | قرف | نفور | غثيان | امتعاض",
            """هذا المنظر يقلب معدتي | رائحة المكان لا تطاق | أكاد أتقيأ | ما هذه القذارة | هذا شيء مقرف
            | لا أطيق رؤية هذا | طعمه مقزز | معدتي لا تحتمل هذا""",
        ),
        "surprise": Cues(
            "متفاجئ | مندهش | مذهول | مصدوم | مبهوت | مستغرب | متعجب",
            "دهشة | مفاجأة | ذهول | صدمة | استغراب | تعجب",
            """لم أتوقع هذا أبدا | لا أصدق عيني | من كان يظن ذلك | ظهر ذلك من العدم | فتحت فمي من الدهشة
            | ما كنت أتخيل هذا | هذا خارج كل التوقعات | يا لها من مفاجأة""",
        ),
    },
    frames={
        "adjective": Frames(
            plain="""أنا {cue}{very} | أنا اليوم {cue}{very} | كم أنا {cue} | أشعر أنني {cue}{very}
            | صديقي {cue}{very} بسبب {topic} | أمي {cue}ة{very} بسبب {topic} | أختي {cue}ة{very}
            | أنا {cue}{very} بسبب {topic} | لا أحد {cue} مثلي""",
            negated="""أنا غير {cue} أبدا | لا أشعر أنني {cue} | لم أعد أشعر أنني {cue} | أمي لم تعد {cue}ة
            | أختي ليست {cue}ة | لا أحد هنا {cue} | ليس صحيحا أنني {cue} | أمي غير {cue}ة
            | لست ب{cue}""",
            contrasted="""أنا {cue} ولست ب{other} | أمي {cue}ة وليست {other}ة | أنا غير {other} بل {cue}{very}
            | أختي ليست {other}ة بل {cue}ة | لا أشعر أنني {other} بل أنا {cue}""",
        ),
        "noun": Frames(
            plain="""أشعر بال{cue}{very} | قلبي مليء بال{cue} | {topic} يملأ قلبي بال{cue} | لا أشعر إلا بال{cue}
            | كل ما أشعر به هو ال{cue} | غمرني شعور بال{cue} | في قلبي كثير من ال{cue}""",
            negated="""لا أشعر بأي {cue} | ليس في قلبي أي {cue} | {topic} لا يثير في نفسي أي {cue}
            | أنظر إلى {topic} دون أي {cue} | زال عني كل شعور بال{cue} | لم يبق في قلبي شيء من ال{cue}""",
            contrasted="""أشعر بال{cue} لا بال{other} | قلبي مليء بال{cue} وليس فيه أي {other}
            | لا أشعر بال{other} بل بال{cue} | {topic} يملأ قلبي بال{cue} دون أي {other}""",
        ),
    },
    ambiguous={
        "دموعي تنهمر": frozenset({"joy", "sadness", "love"}),
        "قلبي يدق بسرعة": frozenset({"love", "fear", "anticipation"}),
        "عجزت عن الكلام": frozenset({"joy", "anger", "surprise"}),
        "جسدي يرتجف": frozenset({"anger", "fear"}),
        "لا أستطيع النوم": frozenset({"sadness", "fear", "love", "anticipation"}),
        "لا أصدق ما حدث": frozenset({"joy", "anger", "surprise"}),
        "أريد أن أصرخ": frozenset({"joy", "anger", "fear", "disgust"}),
        "هذا لا يوصف": frozenset({"joy", "disgust", "surprise"}),
    },
    neutral=_entries("""{person} {action} {when} | أخبرني {person} أنه {action} | {person} {action} بسبب {topic}
        | رأيت {person} {when} | تحدثنا عن {topic} {when} | سأل {person} عن {topic} {when}"""),
    slots={
        "very": ("", "", " جدا", " للغاية", " حقا", " كثيرا", " فعلا"),
        "topic": _entries("""هذا الخبر | هذا الفيلم | الامتحان | العمل الجديد | حفل الزفاف | هذا القرار | السفر | الطقس
            | هذا المكان | المطعم الجديد | الدرس | اللقاء | البرنامج | صوت الجيران"""),
        "person": _entries("""جاري | السائق | أخي | المعلم | الموظف | زميلي | البائع | المدير | الطبيب | عمي | الطالب
            | النادل"""),
        "action": _entries("""قرأ التقرير | اشترى كرسيا | انتظر في المحطة | كتب رسالة قصيرة | فتح المتجر | شرب الشاي
            | ركب الحافلة | أغلق النافذة | رتب الكتب | عاد إلى البيت | غسل السيارة | اتصل بالمكتب | نقل الطاولة
            | دفع الفاتورة | سقى النباتات"""),
        "when": _entries("""هذا الصباح | يوم الاثنين | بعد الغداء | قبل الظهر | في المساء | أمس | في الساعة التاسعة
            | كالعادة | قبل قليل | بعد الدوام | في نهاية الأسبوع | في الطريق"""),
    },
    openers=("", "", "", "حسنا، ", "بصراحة، ", "في الواقع، "),
    joints=(". ", ". ", "! ", "، و", "، لكن ", "، بينما ", "، "),
    endings=("", ".", ".", "!", "...", "!!"),
)

# Chinese: no blanks; a degree word belongs to the frame's "{very}". ---------------------------------------------------

CHINESE = Grammar(
    cues={
        "joy": Cues(
            "开心 | 高兴 | 快乐 | 愉快 | 欢喜 | 幸福 | 快活 | 欣喜",
            "喜悦 | 欢乐 | 欢愉 | 欢欣 | 喜气 | 乐趣",
            """我笑得合不拢嘴 | 我流下了喜悦的泪水 | 生活真美好 | 我们在厨房里跳舞 | 我心里乐开了花 | 心里比蜜还甜
            | 我忍不住哈哈大笑 | 没有比这更好的一天了""",
        ),
        "sadness": Cues(
            "难过 | 伤心 | 悲伤 | 沮丧 | 忧郁 | 失落 | 孤单 | 痛苦",
            "悲痛 | 哀愁 | 忧伤 | 绝望 | 悲哀 | 愁苦",
            """我的心都碎了 | 我哭了一整夜 | 我流下了悲痛的泪水 | 整个世界都是灰色的 | 家里空荡荡的 | 我一个人默默流泪
            | 我提不起一点精神 | 我再也见不到他了""",
        ),
        "anger": Cues(
            "生气 | 愤怒 | 气愤 | 恼火 | 恼怒 | 火大 | 窝火 | 暴躁",
            "怒气 | 怒火 | 愤慨 | 火气 | 怨气 | 怨恨",
            """我气得发抖 | 我的肺都气炸了 | 他们怎么敢这样 | 我真想砸门 | 这简直是侮辱人 | 我忍无可忍 | 我恨得咬牙切齿
            | 别再惹我了""",
        ),
        "love": Cues(
            "心动 | 痴情 | 深情 | 痴迷 | 温柔 | 多情 | 专情 | 着迷",
            "爱意 | 柔情 | 爱慕 | 情意 | 恋慕 | 温情",
            """我爱你 | 你是我的全部 | 我的心属于你 | 我想永远抱着你 | 我疯狂地想你 | 我离不开你 | 我最疼爱我的家人
            | 余生只想陪着你""",
        ),
        "fear": Cues(
            "害怕 | 恐惧 | 惊慌 | 担心 | 紧张 | 慌张 | 焦虑 | 心慌",
            "惧意 | 恐慌 | 惊恐 | 惶恐 | 忧虑 | 畏惧",
            """我吓得发抖 | 噩梦一直缠着我 | 我冒出一身冷汗 | 我想躲到床底下 | 我不敢开门 | 总觉得要出事 | 我的腿都软了
            | 一点声音都让我心惊""",
        ),
        "anticipation": Cues(
            "期待 | 好奇 | 急切 | 期盼 | 向往 | 热切 | 迫切 | 兴奋",
            "希望 | 期望 | 憧憬 | 盼头 | 期许 | 悬念",
            """我等不及要出发了 | 我在数着日子 | 只剩三天就到了 | 明天就是大日子 | 行李早就收拾好了 | 我恨不得明天就去
            | 好想快点看到 | 我掰着手指等周末""",
        ),
        "disgust": Cues(
            "恶心 | 反感 | 厌恶 | 嫌弃 | 作呕 | 讨厌 | 反胃 | 倒胃口",
            "嫌恶 | 恶感 | 憎恶 | 厌烦 | 鄙夷 | 厌弃",
            """我看了就想吐 | 这味道真让人受不了 | 脏得没法看 | 我一口都咽不下去 | 胃里一阵翻腾 | 太下流了
            | 我见了就躲开 | 真是脏死了""",
        ),
        "surprise": Cues(
            "惊讶 | 吃惊 | 诧异 | 意外 | 震惊 | 惊奇 | 错愕 | 惊异",
            "讶异 | 惊诧 | 震撼 | 惊叹 | 惊愕 | 惊疑",
            """我完全没想到 | 我不敢相信自己的眼睛 | 谁能料到呢 | 天哪竟然是这样 | 我目瞪口呆 | 真是出乎预料 | 太突然了
            | 我惊得下巴都掉了""",
        ),
    },
    frames={
        "adjective": Frames(
            plain="""我{very}{cue} | 我今天{very}{cue} | 我觉得{very}{cue} | {topic}让我{very}{cue} | 大家都{very}{cue}
            | 妈妈{very}{cue} | 一想到{topic}我就{very}{cue} | 朋友因为{topic}{very}{cue} | 没有人比我更{cue}
            | 我从没这么{cue}过""",
            negated="""我一点也不{cue} | 我并不{cue} | {topic}没有让我{cue} | 我不再{cue}了 | 没有人{cue}
            | 谁说我{cue} | 妈妈不怎么{cue} | 我从来不{cue} | 说我{cue}那是假的 | 大家都不{cue}""",
            contrasted="""我不是{other}而是{cue} | 我{very}{cue}并不{other} | {topic}让我{cue}而不是{other}
            | 我一点也不{other}反而{very}{cue} | 与其说我{other}不如说我{cue}""",
        ),
        "noun": Frames(
            plain="""我心里充满了{cue} | {topic}带给我{cue} | 我感到一阵{cue} | 除了{cue}我什么也感觉不到
            | 我的心被{cue}填满了 | 空气里都是{cue} | 大家带着{cue}谈起{topic}""",
            negated="""我心里没有{cue} | 我感觉不到{cue} | {topic}没有带来{cue} | 我毫无{cue} | 我没有一丝{cue}
            | {cue}早就消失了 | 大家谈起{topic}毫无{cue}""",
            contrasted="""我心里只有{cue}没有{other} | {topic}带来的是{cue}而不是{other} | 我没有{other}只有{cue}
            | 我感觉不到{other}只感到{cue}""",
        ),
    },
    ambiguous={
        "我哭了": frozenset({"joy", "sadness", "love"}),
        "我的心跳得很快": frozenset({"love", "fear", "anticipation"}),
        "我说不出话来": frozenset({"joy", "anger", "surprise"}),
        "我浑身发抖": frozenset({"anger", "fear"}),
        "我睡不着觉": frozenset({"sadness", "fear", "love", "anticipation"}),
        "我真不敢相信": frozenset({"joy", "anger", "surprise"}),
        "我想大声喊": frozenset({"joy", "anger", "fear", "disgust"}),
        "这太过分了吧": frozenset({"anger", "disgust", "surprise"}),
    },
    neutral=_entries("""{person}{when}{action} | {when}{person}{action} | {person}因为{topic}{action}
        | 我们{when}谈到了{topic} | {person}{when}问起{topic}"""),
    slots={
        "very": ("", "很", "很", "非常", "特别", "真的很", "十分", "格外", "有点"),
        "topic": _entries("""这个消息 | 这部电影 | 这场比赛 | 新工作 | 考试 | 婚礼 | 那封信 | 旅行 | 这首歌 | 这个决定
            | 你的短信 | 聚会 | 天气 | 这里的饭菜 | 新老师 | 选举"""),
        "person": _entries("邻居 | 司机 | 哥哥 | 老师 | 店员 | 同事 | 经理 | 医生 | 叔叔 | 服务员 | 学生 | 表弟"),
        "action": _entries("""看了报告 | 买了一把椅子 | 在车站等车 | 写了一张便条 | 打开了店门 | 喝了一杯茶 | 坐上公交车
            | 关上了窗户 | 整理了书本 | 问了地址 | 回家了 | 洗了车 | 给办公室打电话 | 搬了桌子 | 付了账单 | 浇了花"""),
        "when": _entries("""今天早上 | 星期一 | 午饭后 | 中午之前 | 昨天 | 晚上 | 九点钟 | 照常 | 刚才 | 下班后
            | 上个周末 | 在路上"""),
    },
    openers=("", "", "", "说实话，", "其实，", "话说，"),
    joints=("。", "。", "！", "，而且", "，但是", "；", "，"),
    endings=("", "。", "。", "！", "……", "！！"),
    blank="",
)
